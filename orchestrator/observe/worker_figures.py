"""What is counted about worker Jobs: see orchestrator/runners/kubernetes.

Must not know: how Jobs are run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.registry import Collector

_SECONDS = (0.5, 1, 2, 3, 5, 7, 10, 15, 20, 30, 60, 120, 300, 900)


class WorkerFigures(Collector):
    """Register it where Prometheus asks."""

    def __init__(self) -> None:
        self._own = CollectorRegistry()
        self._calls = Counter(
            "omnimatte_kubernetes_calls",
            "Calls to the Kubernetes API server; code 0: no answer.",
            ["verb", "code"],
            registry=self._own,
        )
        self._restarts = Counter(
            "omnimatte_kubernetes_watch_restarts", "Watches that had to be made again.", registry=self._own
        )
        self._followed = Gauge(
            "omnimatte_kubernetes_jobs", "Worker Jobs that somebody here waits for.", ["kind"], registry=self._own
        )
        self._overhead = Histogram(
            "omnimatte_shard_overhead_seconds",
            "From a shard's ready inputs to its result, without the stage's own time.",
            buckets=_SECONDS,
            registry=self._own,
        )

    def called(self, verb: str, code: int) -> None:
        self._calls.labels(verb, str(code)).inc()

    def watch_restarted(self) -> None:
        self._restarts.inc()

    def following(self, jobs: Mapping[str, int]) -> None:
        """Jobs by kind: shards, batch."""
        for kind, count in jobs.items():
            self._followed.labels(kind).set(count)

    def ended(self, *, overhead: float) -> None:
        self._overhead.observe(max(0.0, overhead))

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        return self._own.collect()
