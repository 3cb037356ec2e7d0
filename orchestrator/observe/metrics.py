"""What Prometheus is told about the orchestrator.

A registry of its own, so that several servers and tests in one process do not share figures. Names end in their unit;
labels are few: stages, states, methods, and the first hundred tenants; never a job. docs/operations.md lists them all.
Must not know: where the events come from.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.registry import Collector

from orchestrator.execute import NodeEvent, NodeState
from orchestrator.observe.call_figures import CallFigures
from orchestrator.observe.job_figures import JobFigures
from orchestrator.observe.tenants import TenantLabels
from services.errors import Unavailable

_SECONDS = (0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 600, 1200, 3600)


class Metrics:
    """The orchestrator's figures."""

    def __init__(self, *, tenants: TenantLabels | None = None) -> None:
        """tenants: the labels of tenants, shared with what else is registered."""
        self._tenants = tenants or TenantLabels()
        self.registry = CollectorRegistry()
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
        self._uploaded = Counter("omnimatte_upload_bytes", "Bytes received as uploads.", registry=self.registry)
        self.jobs = JobFigures(self.registry, self._tenants)
        self.calls = CallFigures(self.registry)
        self._build(self.registry)

    def register(self, collector: Collector) -> None:
        """Ask `collector` too, whenever Prometheus asks us."""
        self.registry.register(collector)

    @staticmethod
    def _build(registry: CollectorRegistry) -> None:
        info = Gauge("omnimatte_build_info", "Which version this is.", ["version", "python"], registry=registry)
        info.labels(_version(), platform.python_version()).set(1)

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


def _version() -> str:
    try:
        return importlib.metadata.version("omnimatte")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
