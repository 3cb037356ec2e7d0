"""What Prometheus is told about the orchestrator.

A registry of its own, so that several servers and tests in one process do not share figures. Names end in their unit;
labels are the few stages and states, never a job.
Must not know: where the events come from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from orchestrator.execute import NodeEvent, NodeState
from services.errors import Unavailable

_SECONDS = (0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 600, 1200, 3600)


class _Jobs(Collector):
    """Asks the database when Prometheus asks us: the figures are right after a restart, and for every replica."""

    def __init__(self, counts: Callable[[], Mapping[str, int]]) -> None:
        self._counts = counts

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        counts = self._counts()
        jobs = GaugeMetricFamily("omnimatte_jobs", "Recorded jobs by state.", labels=["state"])
        for state, count in counts.items():
            jobs.add_metric([state], count)
        yield jobs
        yield GaugeMetricFamily("omnimatte_queue_length", "Jobs that wait for their turn.", counts.get("queued", 0))


class _Store(Collector):
    """Asks the database for the store's size when Prometheus asks us, as it is the same for every replica."""

    def __init__(self, size: Callable[[], int], limit: int) -> None:
        self._size = size
        self._limit = limit

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("omnimatte_store_bytes", "Bytes in the artifact store.", self._size())
        yield GaugeMetricFamily("omnimatte_store_limit_bytes", "Bytes that it may hold; 0: no limit.", self._limit)


class Metrics:
    """The orchestrator's figures."""

    def __init__(
        self,
        job_counts: Callable[[], Mapping[str, int]] = dict,
        *,
        store_size: Callable[[], int] = int,
        store_limit: int = 0,
    ) -> None:
        """`job_counts()` answers how many jobs are in each state, `store_size()` how many bytes the store holds; they
        are asked with every scrape, in another thread."""
        self.registry = CollectorRegistry()
        self.registry.register(_Jobs(job_counts))
        self.registry.register(_Store(store_size, store_limit))
        self._collected = Counter(
            "omnimatte_store_collected_bytes",
            "Bytes that nobody needed and that went.",
            ["kind"],
            registry=self.registry,
        )
        self._collections = Counter(
            "omnimatte_store_collections", "Collections by how they ended.", ["outcome"], registry=self.registry
        )
        self._seconds = Histogram(
            "omnimatte_stage_seconds",
            "Wall time of stage runs that computed something.",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._runs = Counter(
            "omnimatte_stage_runs", "Stage runs by how they ended.", ["stage", "state"], registry=self.registry
        )
        self._retries = Counter(
            "omnimatte_stage_retries",
            "Stage runs tried again, their stage out of reach.",
            ["stage"],
            registry=self.registry,
        )
        self._in_flight = Gauge(
            "omnimatte_stages_in_flight", "Stage runs that are dispatched.", ["stage"], registry=self.registry
        )
        self._job_seconds = Histogram(
            "omnimatte_job_seconds",
            "Time from a job's dispatch to its end.",
            ["state"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._started: dict[str, float] = {}
        self._uploaded = Counter("omnimatte_upload_bytes", "Bytes received as uploads.", registry=self.registry)

    def observer(self) -> Callable[[NodeEvent], None]:
        """What to call with each node event of one run of a plan."""
        running: set[str] = set()

        def observe(event: NodeEvent) -> None:
            if event.state is NodeState.QUEUED:
                if event.node in running:
                    running.discard(event.node)
                    self._in_flight.labels(event.stage).dec()
                    self._retries.labels(event.stage).inc()
                return
            if event.state is NodeState.RUNNING:
                if event.node not in running:
                    running.add(event.node)
                    self._in_flight.labels(event.stage).inc()
                return
            if event.node in running:
                running.discard(event.node)
                self._in_flight.labels(event.stage).dec()
            self._runs.labels(event.stage, event.state.value).inc()
            if event.state is NodeState.DONE:
                self._seconds.labels(event.stage).observe(event.seconds)

        return observe

    def job_moved(self, job: str, state: str, *, final: bool) -> None:
        """Job `job` began to run here, or reached the final state `state`."""
        now = time.monotonic()
        if not final:
            self._started.setdefault(job, now)
        elif job in self._started:
            self._job_seconds.labels(state).observe(now - self._started.pop(job))

    def collected(self, kind: str, size: int) -> None:
        """Something of `size` bytes was deleted."""
        self._collected.labels(kind).inc(size)

    def collection_ended(self, outcome: str) -> None:
        """outcome: done, failed or refused."""
        self._collections.labels(outcome).inc()

    def uploaded(self, count: int) -> None:
        self._uploaded.inc(count)


@contextmanager
def exported(metrics: Metrics, *, host: str, port: int) -> Iterator[int]:
    """Serve the figures at http://host:port/metrics; yields the port, which the system chooses for 0.

    Raises:
        Unavailable: the port is in use.
    """
    try:
        server, thread = start_http_server(port, addr=host, registry=metrics.registry)
    except OSError as error:
        raise Unavailable(
            f"port {port} on {host} is in use by another program; stop that program or choose another port with "
            "--metrics-port."
        ) from error
    try:
        yield int(server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
