"""What the orchestrator remembers: the jobs, and what happened to each.

SQLAlchemy Core over SQLite (embedded) or PostgreSQL (production); the workflow engine keeps its own tables beside
these. Every change of a job and the event that tells of it are one transaction, so a watcher can miss neither.
Must not know: gRPC, stages, or who runs the jobs. Blocking: call it from a thread.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from orchestrator.spec import JobSpec, restored
from services.artifacts import canonical
from services.errors import AlreadyExists, NotFound

_METADATA = sa.MetaData()

_JOBS = sa.Table(
    "jobs",
    _METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("request_id", sa.String(128), unique=True, nullable=True),
    sa.Column("spec", sa.Text, nullable=False),
    sa.Column("spec_digest", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("started", sa.Float, nullable=True),
    sa.Column("ended", sa.Float, nullable=True),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("result", sa.String(64), nullable=False, index=True),
    sa.Column("sequence", sa.BigInteger, nullable=False),
)

_EVENTS = sa.Table(
    "job_events",
    _METADATA,
    sa.Column("job", sa.String(32), sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True),
    sa.Column("time", sa.Float, nullable=False),
    sa.Column("replaces", sa.String(64), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)


class JobState(StrEnum):
    """Where a job is in its life. A job that CANCELLING marks ends as CANCELLED, also across a restart."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True)
class Job:
    """A job as it is recorded. Times are seconds since the epoch, 0 while they have not come.

    Attributes:
        error: `services.errors.encode` text of a FAILED job.
        result: address of the deliverables of a SUCCEEDED job.
        sequence: number of its newest event.
    """

    id: str
    spec: JobSpec
    spec_digest: str
    state: JobState
    created: float
    started: float = 0.0
    ended: float = 0.0
    error: str = ""
    result: str = ""
    sequence: int = 0


@dataclass(frozen=True)
class Event:
    """Something that happened to a job: {"job": changed fields} or {"node": a NodeEvent}."""

    sequence: int
    time: float
    body: Mapping[str, Any]


@dataclass(frozen=True)
class NewEvent:
    """An event to be recorded. It takes the place of the job's earlier events with the same non-empty `replaces`."""

    body: Mapping[str, Any]
    replaces: str = ""
    time: float = field(default_factory=time.time)


class Database:
    """The jobs and their events."""

    def __init__(self, url: str) -> None:
        self._engine = sa.create_engine(url, connect_args={"timeout": 30} if url.startswith("sqlite") else {})
        if self._engine.dialect.name == "sqlite":
            sa.event.listen(self._engine, "connect", _tune_sqlite)
        _METADATA.create_all(self._engine)

    @property
    def engine(self) -> sa.Engine:
        """For modules that keep tables of their own beside these."""
        return self._engine

    def close(self) -> None:
        self._engine.dispose()

    def create(
        self, spec: JobSpec, *, request_id: str = "", within: Callable[[sa.Connection, str], None] = lambda *_: None
    ) -> tuple[Job, bool]:
        """A new QUEUED job, and True; or the one that an equal request with this `request_id` made before, and False.

        within: what else belongs to the transaction that records the new job `job`; if it raises, there is no job.

        Raises:
            AlreadyExists: `request_id` was used for another spec.
        """
        now = time.time()
        job = Job(id=_new_id(now), spec=spec, spec_digest=spec.digest(), state=JobState.QUEUED, created=now)
        row = {
            "id": job.id,
            "request_id": request_id or None,
            "spec": spec.to_json(),
            "spec_digest": job.spec_digest,
            "state": job.state.value,
            "created": now,
            "error": "",
            "result": "",
            "sequence": 0,
        }
        try:
            with self._engine.begin() as connection:
                connection.execute(_JOBS.insert().values(row))
                sequence = _append(connection, job.id, [NewEvent({"job": {"state": job.state.value}})])
                within(connection, job.id)
            return replace(job, sequence=sequence), True
        except sa.exc.IntegrityError:
            return self._existing(job, request_id), False

    def _existing(self, wanted: Job, request_id: str) -> Job:
        found = self._one(_JOBS.c.request_id == request_id)
        if found is None:
            raise NotFound(f"the job of request {request_id!r} was deleted just now; send the request again.")
        if found.spec_digest != wanted.spec_digest:
            raise AlreadyExists(
                f"request_id {request_id!r} was used for another job (spec {found.spec_digest}, "
                f"now {wanted.spec_digest}); choose a new request_id.",
                field="request_id",
            )
        return found

    def get(self, job: str) -> Job:
        """Raises NotFound."""
        found = self._one(_JOBS.c.id == job)
        if found is None:
            raise NotFound(f"there is no job {job!r}; list the jobs to see their names.", field="name")
        return found

    def _one(self, condition: sa.ColumnElement[bool]) -> Job | None:
        with self._engine.connect() as connection:
            row = connection.execute(_JOBS.select().where(condition)).one_or_none()
        return None if row is None else _job(row)

    def page(self, *, size: int, before: str = "") -> list[Job]:
        """At most `size` jobs, newest first, all older than the job `before`."""
        # Ids begin with their time of birth, so their order is the jobs'.
        query = _JOBS.select().order_by(_JOBS.c.id.desc()).limit(size)
        if before:
            query = query.where(_JOBS.c.id < before)
        with self._engine.connect() as connection:
            return [_job(row) for row in connection.execute(query)]

    def unfinished(self) -> list[Job]:
        """Every job that has not ended, oldest first."""
        states = [state.value for state in JobState if not state.final]
        query = _JOBS.select().where(_JOBS.c.state.in_(states)).order_by(_JOBS.c.id)
        with self._engine.connect() as connection:
            return [_job(row) for row in connection.execute(query)]

    def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state."""
        query = sa.select(_JOBS.c.state, sa.func.count()).group_by(_JOBS.c.state)
        with self._engine.connect() as connection:
            found = {JobState(state): int(count) for state, count in connection.execute(query)}
        return {state: found.get(state, 0) for state in JobState}

    def advance(self, job: str, to: JobState, *, among: Iterable[JobState], error: str = "", result: str = "") -> bool:
        """Move the job to state `to` if it is in one of `among`, and record the event. Returns whether it was."""
        now = time.time()
        changes: dict[str, Any] = {"state": to.value, "error": error, "result": result}
        if to is JobState.RUNNING:
            changes["started"] = sa.func.coalesce(_JOBS.c.started, now)
        if to.final:
            changes["ended"] = now
        query = _JOBS.update().where(_JOBS.c.id == job, _JOBS.c.state.in_([state.value for state in among]))
        body = {"job": {"state": to.value, "error": error, "result": result}}
        with self._engine.begin() as connection:
            if connection.execute(query.values(changes)).rowcount == 0:
                return False
            _append(connection, job, [NewEvent(body, time=now)])
        return True

    def append(self, job: str, events: Sequence[NewEvent]) -> None:
        """Record what happened to a job; nothing is recorded for a job that is gone."""
        with self._engine.begin() as connection:
            _append(connection, job, events)

    def events(self, job: str, *, after: int) -> list[Event]:
        """The job's events with a sequence number greater than `after`, in order."""
        query = _EVENTS.select().where(_EVENTS.c.job == job, _EVENTS.c.sequence > after).order_by(_EVENTS.c.sequence)
        with self._engine.connect() as connection:
            return [Event(row.sequence, row.time, json.loads(row.body)) for row in connection.execute(query)]

    def delete(self, job: str) -> None:
        """Forget a job and its events."""
        with self._engine.begin() as connection:
            connection.execute(_EVENTS.delete().where(_EVENTS.c.job == job))
            connection.execute(_JOBS.delete().where(_JOBS.c.id == job))


def _append(connection: sa.Connection, job: str, events: Sequence[NewEvent]) -> int:
    # The row's own counter numbers the events; updating it first also locks the row against other writers.
    counted = connection.execute(
        _JOBS.update().where(_JOBS.c.id == job).values(sequence=_JOBS.c.sequence + len(events))
    )
    if counted.rowcount == 0:
        return 0
    last = int(connection.execute(sa.select(_JOBS.c.sequence).where(_JOBS.c.id == job)).scalar_one())
    outdated = {event.replaces for event in events if event.replaces}
    if outdated:
        connection.execute(_EVENTS.delete().where(_EVENTS.c.job == job, _EVENTS.c.replaces.in_(outdated)))
    first = last - len(events) + 1
    rows = [
        {
            "job": job,
            "sequence": first + i,
            "time": event.time,
            "replaces": event.replaces,
            "body": canonical(dict(event.body)).decode(),
        }
        for i, event in enumerate(events)
    ]
    connection.execute(_EVENTS.insert(), rows)
    return last


def _job(row: sa.Row[Any]) -> Job:
    return Job(
        id=row.id,
        spec=restored(json.loads(row.spec)),
        spec_digest=row.spec_digest,
        state=JobState(row.state),
        created=row.created,
        started=row.started or 0.0,
        ended=row.ended or 0.0,
        error=row.error,
        result=row.result,
        sequence=row.sequence,
    )


def _new_id(now: float) -> str:
    return f"{int(now * 1000):012x}{secrets.token_hex(5)}"


def _tune_sqlite(connection: Any, _: object) -> None:
    # Writers queue up instead of failing, readers never wait, and a commit costs no disk flush: after a power cut the
    # last moments of a job may be missing, and running it again finds its stages done.
    connection.isolation_level = "IMMEDIATE"
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=30000", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
