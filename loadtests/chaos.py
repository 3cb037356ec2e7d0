"""Trouble on purpose, while a steady load goes on: what is done when, and what is claimed afterwards.

    [[chaos]]
    at = 60
    what = "kill-orchestrator"      # lose-node, slow-node, slow-store
    seconds = 10                    # until it is made good again
    factor = 4                      # of slow-node; of slow-store: seconds of each run

No accepted job may be lost; how long it took to recover is in the report.
Must not know: how the load is made.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loadtests.stand.fakes import FakeStand
from services.errors import BadOption

_KNOWN = ("kill-orchestrator", "lose-node", "slow-node", "slow-store")


@dataclass(frozen=True)
class Blow:
    """One thing that is done. at: seconds from the start of the run. seconds: until it is made good again."""

    at: float
    what: str
    seconds: float = 10.0
    factor: float = 3.0


def blows_of(tables: Sequence[Mapping[str, Any]]) -> list[Blow]:
    """In order of time. Raises BadOption."""
    found = []
    for one in tables:
        try:
            blow = Blow(**one)
        except TypeError as error:
            raise BadOption(f"[[chaos]] holds at, what, seconds and factor ({error}).", field="chaos") from error
        if blow.what not in _KNOWN:
            raise BadOption(f"chaos.what is {blow.what!r}; choose one of {', '.join(_KNOWN)}.", field="chaos.what")
        found.append(blow)
    return sorted(found, key=lambda blow: blow.at)


def play(stand: FakeStand, blows: Sequence[Blow], clock: Callable[[], float], marks: list[tuple[float, str]]) -> None:
    """Deal them, each when its time has come and the one before is made good."""
    for blow in blows:
        time.sleep(max(0.0, blow.at - clock()))
        _deal(stand, blow, clock, marks)


def _deal(stand: FakeStand, blow: Blow, clock: Callable[[], float], marks: list[tuple[float, str]]) -> None:
    # The last node and the last orchestrator: the first ones stay, so that a stand of two goes on.
    node, orchestrator = sorted(stand.nodes)[-1], sorted(stand.orchestrators)[-1]
    match blow.what:
        case "kill-orchestrator":
            marks.append((clock(), f"{orchestrator} killed"))
            stand.kill_orchestrator(orchestrator)
            time.sleep(blow.seconds)
            stand.start_orchestrator(orchestrator)
            marks.append((clock(), f"{orchestrator} serves again"))
        case "lose-node":
            marks.append((clock(), f"{node} lost"))
            stand.lose_node(node)
            time.sleep(blow.seconds)
            stand.start_node(node)
            marks.append((clock(), f"{node} is back"))
        case "slow-node":
            marks.append((clock(), f"{node} {blow.factor:g} times as slow"))
            stand.trouble(node, slow=blow.factor)
            time.sleep(blow.seconds)
            stand.trouble(node)
            marks.append((clock(), f"{node} as fast as before"))
        case "slow-store":
            marks.append((clock(), f"the store takes {blow.factor:g} s longer a run"))
            for name in stand.nodes:
                stand.trouble(name, store_seconds=blow.factor)
            time.sleep(blow.seconds)
            for name in stand.nodes:
                stand.trouble(name)
            marks.append((clock(), "the store is as fast as before"))
