"""What the database knows, asked whenever Prometheus asks us: right after a restart, and the same on every replica.

While the database is away the other figures go on, and `omnimatte_database_up` says 0.
Must not know: how the figures are exported. Blocking: Prometheus calls from a thread.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from orchestrator.db import Database
from orchestrator.observe.tenants import TenantLabels
from orchestrator.patience import away
from orchestrator.records import JobState
from orchestrator.references import References
from orchestrator.scheduling.queue import Depth, Queue
from orchestrator.schema import EVENTS, JOBS, REPLICAS

_log = logging.getLogger(__name__)

STUCK_SECONDS = 900.0
"""A job that runs and of which nothing was heard for so long is called stuck. Loading large weights takes minutes."""


@dataclass(frozen=True)
class Running:
    """The jobs that run, or are being cancelled.

    Attributes:
        silent: how many have told nothing for longer than they may.
        unlisted: how many belong to a replica that is not on the list.
        silence: seconds since the last word of the one that has been silent longest; 0 if none runs.
    """

    silent: int = 0
    unlisted: int = 0
    silence: float = 0.0


@dataclass(frozen=True)
class Survey:
    """What the database knows at one moment; see the names of the figures in `Surveyed`."""

    jobs: Mapping[str, int]
    depths: Sequence[Depth]
    running: Running
    replicas: int
    places: int
    store_bytes: int


class Surveyor:
    """Makes surveys."""

    def __init__(
        self, *, database: Database, queue: Queue, references: References, stuck_after: float = STUCK_SECONDS
    ) -> None:
        """stuck_after: seconds."""
        self._database, self._queue, self._references = database, queue, references
        self._stuck_after = stuck_after

    def __call__(self) -> Survey:
        with self._database.engine.connect() as connection:
            running = running_jobs(connection, stuck_after=self._stuck_after)
            listed = connection.execute(sa.select(sa.func.count(), sa.func.sum(REPLICAS.c.places))).one()
        return Survey(
            jobs={state.value: count for state, count in self._database.counts().items()},
            depths=self._queue.depths(),
            running=running,
            replicas=int(listed[0]),
            places=int(listed[1] or 0),
            store_bytes=self._references.size(),
        )


def running_jobs(connection: sa.Connection, *, stuck_after: float) -> Running:
    """How the jobs that run are doing."""
    newest = sa.select(sa.func.max(EVENTS.c.time)).where(EVENTS.c.job == JOBS.c.id).scalar_subquery()
    runs = JOBS.c.state.in_([JobState.RUNNING.value, JobState.CANCELLING.value])
    listed = set(connection.execute(sa.select(REPLICAS.c.id)).scalars())
    found = connection.execute(sa.select(JOBS.c.executor, sa.func.coalesce(newest, JOBS.c.created)).where(runs)).all()
    silences = [max(0.0, time.time() - heard) for _, heard in found]
    return Running(
        silent=sum(silence > stuck_after for silence in silences),
        unlisted=sum(executor not in listed for executor, _ in found),
        silence=max(silences, default=0.0),
    )


class Surveyed(Collector):
    """The surveys as Prometheus wants them."""

    def __init__(self, survey: Callable[[], Survey], *, tenants: TenantLabels, store_limit: int = 0) -> None:
        """store_limit: bytes that the store may hold; 0: no limit."""
        self._survey = survey
        self._tenants = tenants
        self._store_limit = store_limit

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        survey = self._ask()
        yield _gauge("omnimatte_database_up", "Whether the database answers.", float(survey is not None))
        yield _gauge("omnimatte_store_limit_bytes", "Bytes that the store may hold; 0: no limit.", self._store_limit)
        if survey is None:
            return
        jobs = GaugeMetricFamily("omnimatte_jobs", "Recorded jobs by state.", labels=["state"])
        for state, count in survey.jobs.items():
            jobs.add_metric([state], count)
        yield jobs
        yield _gauge("omnimatte_queue_length", "Jobs that wait for their turn.", survey.jobs.get("queued", 0))
        yield from self._depths(survey.depths)
        stuck = GaugeMetricFamily("omnimatte_stuck_jobs", "Running jobs that nobody may be running.", labels=["reason"])
        stuck.add_metric(["silent"], survey.running.silent)
        stuck.add_metric(["unlisted"], survey.running.unlisted)
        yield stuck
        yield _gauge(
            "omnimatte_job_silence_seconds", "Longest time that a running job has told nothing.", survey.running.silence
        )
        yield _gauge("omnimatte_replicas", "Orchestrators on the list.", survey.replicas)
        yield _gauge("omnimatte_places", "Jobs that they can run at once.", survey.places)
        yield _gauge("omnimatte_store_bytes", "Bytes in the artifact store.", survey.store_bytes)

    def _depths(self, depths: Sequence[Depth]) -> Iterator[Metric]:
        jobs: dict[tuple[str, str], int] = defaultdict(int)
        oldest: dict[tuple[str, str], float] = {}
        for one in depths:
            key = (self._tenants.of(one.tenant), one.line.value)
            jobs[key] += one.jobs
            oldest[key] = min(one.oldest, oldest.get(key, one.oldest))
        names = ["tenant", "class"]
        depth = GaugeMetricFamily("omnimatte_queue_jobs", "Waiting jobs by tenant and class.", labels=names)
        age = GaugeMetricFamily("omnimatte_queue_oldest_seconds", "Age of the oldest of them.", labels=names)
        for key, count in jobs.items():
            depth.add_metric(list(key), count)
            age.add_metric(list(key), max(0.0, time.time() - oldest[key]))
        yield depth
        yield age

    def _ask(self) -> Survey | None:
        try:
            return self._survey()
        except sa.exc.SQLAlchemyError as error:
            if not away(error):
                _log.exception("the database could not be asked for figures")
            return None


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value)
