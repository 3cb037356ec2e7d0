"""Figures about jobs in this replica: how long they wait and run, what they cost, how often they change hands.

Must not know: where jobs come from, or how they are run.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Histogram

from orchestrator.observe.tenants import TenantLabels

_SECONDS = (0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 600, 1200, 3600, 7200, 14400)


@dataclass
class _Attempt:
    line: str
    started: float = field(default_factory=time.monotonic)
    spent: dict[str, float] = field(default_factory=lambda: defaultdict(float))


class JobFigures:
    """Belongs to one event loop, but for what Prometheus reads."""

    def __init__(self, registry: CollectorRegistry, tenants: TenantLabels) -> None:
        self._tenants = tenants
        self._attempts: dict[str, _Attempt] = {}
        self._taken = Counter("omnimatte_jobs_taken", "Jobs begun here, by class.", ["class"], registry=registry)
        self._handed_back = Counter(
            "omnimatte_jobs_handed_back", "Jobs given back to the queue unfinished.", registry=registry
        )
        self._sweeps = Counter("omnimatte_sweeps", "Looks for silent replicas.", registry=registry)
        self._struck = Counter("omnimatte_sweep_replicas", "Replicas taken for dead.", registry=registry)
        self._freed = Counter("omnimatte_sweep_jobs", "Jobs freed from replicas that were gone.", registry=registry)
        self._wait = _histogram("omnimatte_job_wait_seconds", "Time from a job's creation to its start.", registry)
        self._run = Histogram(
            "omnimatte_job_seconds",
            "Time from a job's dispatch to its end.",
            ["state"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._per_job = Histogram(
            "omnimatte_job_processor_seconds",
            "Seconds of model instances that an attempt at a job took, on a GPU or without.",
            ["class", "processor"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._processor = Counter(
            "omnimatte_processor_seconds",
            "Seconds that stage runs held their model instance, on a GPU or without.",
            ["stage", "tenant", "processor"],
            registry=registry,
        )

    @contextmanager
    def attempt(self, job: str, *, line: str, waited: float | None) -> Iterator[None]:
        """An attempt at a job here, for the length of the block. waited: seconds in the queue, None if not for the
        first time."""
        self._taken.labels(line).inc()
        if waited is not None:
            self._wait.labels(line).observe(max(0.0, waited))
        attempt = self._attempts[job] = _Attempt(line)
        try:
            yield
        finally:
            del self._attempts[job]
            for processor, seconds in attempt.spent.items():
                self._per_job.labels(line, processor).observe(seconds)

    def computed(self, stage: str, *, seconds: float, gpu: bool, tenant: str, job: str) -> None:
        """A stage run that held its instance for `seconds`; `job` may be "" (a preview)."""
        processor = "gpu" if gpu else "cpu"
        self._processor.labels(stage, self._tenants.of(tenant), processor).inc(seconds)
        if job in self._attempts:
            self._attempts[job].spent[processor] += seconds

    def ended(self, job: str, state: str) -> None:
        """The job that is attempted here has reached a final state."""
        if job in self._attempts:
            self._run.labels(state).observe(time.monotonic() - self._attempts[job].started)

    def handed_back(self) -> None:
        """A job waits again."""
        self._handed_back.inc()

    def swept(self, silent: Collection[str], freed: Collection[str]) -> None:
        """Somebody here has looked for silent replicas, struck off some, and freed their jobs."""
        self._sweeps.inc()
        self._struck.inc(len(silent))
        self._freed.inc(len(freed))


def _histogram(name: str, text: str, registry: CollectorRegistry) -> Histogram:
    return Histogram(name, text, ["class"], buckets=_SECONDS, registry=registry)
