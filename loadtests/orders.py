"""A scenario spelled out: what is sent when, and by whom. A pure function of scenario and seed, so that two runs of one
scenario send the same.

Must not know: how it is sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np

from loadtests.scenario import Scenario


@dataclass(frozen=True)
class Order:
    """One request.

    Attributes:
        number: from 0. at: seconds from the start of the run at which it is sent.
        kind, objects, frames: of its clip. tenant: who sends it. line: "interactive" or "batch".
        preview: it asks for masks on one frame, and for no job.
        cancel_after: seconds after which its job is cancelled; 0: it is not.
        download: its result is fetched. cleanup: its job is deleted at the end.
    """

    number: int
    at: float
    kind: str
    objects: int
    frames: int
    tenant: str
    line: str = "interactive"
    preview: bool = False
    cancel_after: float = 0.0
    download: bool = False
    cleanup: bool = False


def orders_of(scenario: Scenario) -> list[Order]:
    """All of them, in order of time; at most `scenario.requests`."""
    rng = np.random.default_rng(scenario.seed)
    times = scenario.arrivals.times(scenario.duration, rng)[: scenario.requests]
    return [_order(scenario, number, float(at), rng) for number, at in enumerate(times)]


def _order(scenario: Scenario, number: int, at: float, rng: np.random.Generator) -> Order:
    # Every order draws the same numbers in the same way: a share that changes leaves the others as they were.
    kind, tenant = _chosen(scenario.kinds, rng), _chosen(scenario.tenants, rng)
    interactive, preview, cancel, download = rng.uniform(size=4)
    patience = float(rng.uniform(0.2, 10.0))
    share = scenario.share
    return Order(
        number=number,
        at=round(at, 4),
        kind=kind,
        objects=scenario.kinds[kind].objects,
        frames=scenario.kinds[kind].frames,
        tenant=tenant,
        line="interactive" if interactive < share.interactive else "batch",
        preview=bool(preview < share.preview),
        cancel_after=round(patience, 3) if cancel < share.cancel else 0.0,
        download=bool(download < share.download),
        cleanup=scenario.cleanup,
    )


class _Weighed(Protocol):
    @property
    def weight(self) -> float: ...


def _chosen(among: Mapping[str, _Weighed], rng: np.random.Generator) -> str:
    weights = np.array([one.weight for one in among.values()], dtype=float)
    return list(among)[int(rng.choice(len(weights), p=weights / weights.sum()))]


def dumped(orders: Iterable[Order]) -> str:
    """One JSON line each."""
    return "".join(f"{json.dumps(asdict(order))}\n" for order in orders)


def loaded(text: str) -> list[Order]:
    """What `dumped` has written."""
    return [Order(**json.loads(line)) for line in text.splitlines()]
