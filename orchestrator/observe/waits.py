"""What waits for a place at the stages, as Prometheus wants it: the figures that model pods are scaled by.

Must not know: how places come about.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from orchestrator.slots import Slots, Waiting
from services.registry import STAGES


class Waits(Collector):
    """Asked whenever Prometheus asks us."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        runs = GaugeMetricFamily("omnimatte_stage_waiting", "Stage runs that wait for a place.", labels=["stage"])
        oldest = GaugeMetricFamily(
            "omnimatte_stage_oldest_wait_seconds", "How long the first of them has waited.", labels=["stage"]
        )
        # All stages from the start: what scales by a figure must find it.
        nobody = dict.fromkeys(STAGES, Waiting(0, 0.0))
        for stage, waiting in (nobody | self._slots.waiting()).items():
            runs.add_metric([stage], waiting.runs)
            oldest.add_metric([stage], waiting.oldest)
        yield runs
        yield oldest
