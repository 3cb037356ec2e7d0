"""Kinds of clips: the steps that the orchestrator's real plan has for them. And the arrivals of a day.

Must not know: clusters, or how long a step takes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loadtests.capacity.service_times import Draws
from orchestrator.options import MAX_RUNS
from orchestrator.plan import plan
from orchestrator.spec import from_dict
from orchestrator.timing import Line

DAY = 86400.0


@dataclass(frozen=True)
class Step:
    """One stage run of a job.

    Attributes:
        needs: indices of the steps before it. units: how often the stage's seconds it takes, as with several runs of
            Casper in one request.
    """

    stage: str
    needs: tuple[int, ...] = ()
    units: int = 1


@dataclass(frozen=True)
class Kind:
    """One kind of clip. objects: whose layers are asked for."""

    name: str
    steps: tuple[Step, ...]
    objects: int = 1

    @property
    def cost(self) -> float:
        """What a job moves its tenant's clock on by: its runs of Casper and the like."""
        return self.objects + 1.0


@dataclass(frozen=True)
class Arrival:
    """A job that is created `at` seconds."""

    at: float
    kind: str
    line: Line = Line.INTERACTIVE
    tenant: str = "default"


@functools.cache
def steps(
    *, objects: int, profile: str = "compact", apart: bool = True, per_run: bool = False, masks: bool = False
) -> tuple[Step, ...]:
    """The plan's steps for a clip.

    Args:
        apart: every run of Casper is a request of its own, which may go to a GPU of its own.
        masks: its objects come with their masks, and not with prompts.
        per_run: a request of Casper counts as many units as it has runs.
    """
    labels = [f"object-{i}" for i in range(objects)]
    told = {"mask": {"digest": "1" * 64}} if masks else {"prompts": [{"frame": 0, "point": [1, 1]}]}
    spec = from_dict(
        {
            "source": {"digest": "0" * 64},
            "objects": [{"label": label, **told} for label in labels],
            "options": {"profile": profile, "casper": {"runs_together": 1 if apart else MAX_RUNS}},
        }
    )
    nodes = plan(spec)
    index = {node.id: i for i, node in enumerate(nodes)}
    return tuple(
        Step(
            stage=node.stage,
            needs=tuple(sorted({index[need] for need in node.needs})),
            units=len(node.params["runs"]) if per_run and node.stage == "casper" else 1,
        )
        for node in nodes
    )


@dataclass(frozen=True)
class Mix:
    """What arrives.

    Attributes:
        kinds: kind -> share. interactive: share of jobs that somebody waits for.
        peak: rate of the busiest hour over the day's mean. clips_per_tenant: a day.
    """

    kinds: Mapping[str, float]
    interactive: float = 1.0
    peak: float = 2.0
    clips_per_tenant: float = 100.0


def day(mix: Mix, *, per_day: float, begin: float, end: float, seed: int) -> list[Arrival]:
    """Poisson arrivals between two hours' seconds of a day whose rate is a sine around its mean, highest at noon."""
    draws = Draws(seed)
    mean = per_day / DAY
    top = mean * mix.peak
    out: list[Arrival] = []
    at = begin
    while True:
        at += draws.exponential(1 / top)
        if at >= end:
            return out
        rate = mean * (1 - (mix.peak - 1) * math.cos(2 * math.pi * at / DAY))
        if draws.next() * top < rate:
            out.append(_arrival(mix, at - begin, per_day, draws))


def peak_hours(mix: Mix, *, per_day: float, hours: float, seed: int) -> list[Arrival]:
    """The arrivals around noon, the first at about 0 s."""
    half = hours * 1800
    return day(mix, per_day=per_day, begin=DAY / 2 - half, end=DAY / 2 + half, seed=seed)


def _arrival(mix: Mix, at: float, per_day: float, draws: Draws) -> Arrival:
    tenants = max(1, round(per_day / mix.clips_per_tenant))
    line = Line.INTERACTIVE if draws.next() < mix.interactive else Line.BATCH
    tenant = f"tenant-{int(draws.next() * tenants)}"
    return Arrival(at, _chosen(list(mix.kinds.items()), draws.next()), line, tenant)


def _chosen(shares: Sequence[tuple[str, float]], draw: float) -> str:
    left = draw * sum(share for _, share in shares)
    for name, share in shares:
        left -= share
        if left < 0:
            return name
    return shares[-1][0]
