"""What the orchestrator remembers: the jobs, and what happened to each.

SQLAlchemy Core over SQLite (embedded) or PostgreSQL (production); the workflow engine keeps its own tables beside
these. Every change of a job and the event that tells of it are one transaction, so a watcher can miss neither.
Must not know: gRPC, stages, or who runs the jobs. Blocking: call it from a thread.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from orchestrator.opening import opened
from orchestrator.records import Addition, Event, Failure, Job, JobState, NewEvent
from orchestrator.schema import EVENTS, JOBS, UPLOADS
from orchestrator.spec import JobSpec, restored
from services.artifacts import canonical
from services.errors import AlreadyExists, NotFound, decode, encode


class Database:
    """The jobs and their events. What a caller asks for is asked with its tenant; without one asks who runs jobs."""

    def __init__(self, url: str) -> None:
        """Raises Conflict for a database of another version."""
        self._engine = opened(url)

    @property
    def engine(self) -> sa.Engine:
        """For those who keep tables of their own in the same database."""
        return self._engine

    def close(self) -> None:
        self._engine.dispose()

    def create(
        self,
        spec: JobSpec,
        *,
        tenant: str,
        request_id: str = "",
        within: Callable[[sa.Connection, str], None] = lambda *_: None,
        trace: str = "",
    ) -> tuple[Job, bool]:
        """A new QUEUED job, and True; or the one that an equal request with this `request_id` made before, and False.

        request_id: unique within the tenant.
        within: what else belongs to the transaction that records the new job `job`; if it raises, there is no job.
        trace: the `traceparent` that the job's attempts go on with.

        Raises:
            AlreadyExists: `request_id` was used for another spec.
        """
        now = time.time()
        job = Job(_new_id(now), tenant, spec, spec_digest=spec.digest(), state=JobState.QUEUED, created=now)
        row = {
            "id": job.id,
            "tenant": tenant,
            "request_id": request_id or None,
            "spec": spec.to_json(),
            "spec_digest": job.spec_digest,
            "state": job.state.value,
            "created": now,
            "error": "",
            "result": "",
            "sequence": 0,
            "line": spec.scheduling.line.value,
            "priority": spec.scheduling.priority,
            "deadline": job.deadline or None,
            "cost": float(len(spec.objects)),
            "trace": trace,
        }
        try:
            with self._engine.begin() as connection:
                connection.execute(JOBS.insert().values(row))
                sequence = append_events(connection, job.id, [NewEvent({"job": {"state": job.state.value}})])
                within(connection, job.id)
            return replace(job, sequence=sequence), True
        except sa.exc.IntegrityError:
            return self._existing(job, request_id), False

    def _existing(self, wanted: Job, request_id: str) -> Job:
        found = self._one(JOBS.c.tenant == wanted.tenant, JOBS.c.request_id == request_id)
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
        """The job, whoever's it is. Raises NotFound."""
        return self._found(job, JOBS.c.id == job)

    def owned(self, job: str, *, tenant: str) -> Job:
        """The tenant's job. Raises NotFound, also for a job of another tenant."""
        return self._found(job, JOBS.c.id == job, JOBS.c.tenant == tenant)

    def _found(self, job: str, *conditions: sa.ColumnElement[bool]) -> Job:
        found = self._one(*conditions)
        if found is None:
            raise NotFound(f"there is no job {job!r}; list the jobs to see their names.", field="name")
        return found

    def _one(self, *conditions: sa.ColumnElement[bool]) -> Job | None:
        with self._engine.connect() as connection:
            row = connection.execute(JOBS.select().where(*conditions)).one_or_none()
        return None if row is None else _job(row)

    def page(self, *, tenant: str, size: int, before: str = "", states: Collection[JobState] = ()) -> list[Job]:
        """At most `size` of the tenant's jobs, newest first, all older than the job `before` and in one of `states`."""
        # Ids begin with their time of birth, so their order is the jobs'.
        query = JOBS.select().where(JOBS.c.tenant == tenant).order_by(JOBS.c.id.desc()).limit(size)
        if before:
            query = query.where(JOBS.c.id < before)
        if states:
            query = query.where(JOBS.c.state.in_([state.value for state in states]))
        with self._engine.connect() as connection:
            return [_job(row) for row in connection.execute(query)]

    def unfinished(self) -> list[Job]:
        """Every job that has not ended, oldest first."""
        states = [state.value for state in JobState if not state.final]
        query = JOBS.select().where(JOBS.c.state.in_(states)).order_by(JOBS.c.id)
        with self._engine.connect() as connection:
            return [_job(row) for row in connection.execute(query)]

    def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state."""
        query = sa.select(JOBS.c.state, sa.func.count()).group_by(JOBS.c.state)
        with self._engine.connect() as connection:
            found = {JobState(state): int(count) for state, count in connection.execute(query)}
        return {state: found.get(state, 0) for state in JobState}

    def advance(
        self,
        job: str,
        to: JobState,
        *,
        among: Iterable[JobState],
        attempt: int | None = None,
        error: str = "",
        result: str = "",
        failures: Sequence[Failure] = (),
    ) -> bool:
        """Move the job to state `to` if it is in one of `among`, and record the event. Returns whether it was.

        attempt: of whoever runs the job: nothing happens if another attempt has taken over. None for all others.
        """
        now = time.time()
        lost = [[failure.label, encode(failure.error)] for failure in failures]
        changes: dict[str, Any] = {"state": to.value, "error": error, "result": result, "failures": json.dumps(lost)}
        if to is JobState.RUNNING:
            changes["started"] = sa.func.coalesce(JOBS.c.started, now)
        if to.final:
            changes["ended"] = now
        states = JOBS.c.state.in_([state.value for state in among])
        query = JOBS.update().where(_of(job, attempt), states)
        body = {"job": {"state": to.value, "error": error, "result": result}}
        with self._engine.begin() as connection:
            if connection.execute(query.values(changes)).rowcount == 0:
                return False
            append_events(connection, job, [NewEvent(body, time=now)])
        return True

    def append(self, job: str, events: Sequence[NewEvent], *, attempt: int | None = None) -> bool:
        """Record what happened to a job; False, and nothing is recorded, if it is gone or another attempt's."""
        with self._engine.begin() as connection:
            return append_events(connection, job, events, attempt=attempt) > 0

    def append_all(self, additions: Iterable[Addition]) -> set[str]:
        """Record what happened to several jobs, each as `append` would; returns those for which it answers False."""
        wanted = list(additions)
        with self._engine.begin() as connection:
            return {one.job for one in wanted} - set(append_together(connection, wanted))

    def events(self, job: str, *, tenant: str, after: int) -> list[Event]:
        """The events of the tenant's job with a sequence number greater than `after`, in order."""
        mine = (EVENTS.c.job == job, EVENTS.c.tenant == tenant, EVENTS.c.sequence > after)
        query = EVENTS.select().where(*mine).order_by(EVENTS.c.sequence)
        with self._engine.connect() as connection:
            return [Event(row.sequence, row.time, json.loads(row.body)) for row in connection.execute(query)]

    def under_way(self, jobs: Collection[str]) -> set[str]:
        """Those of `jobs` that run or wait to."""
        over = [state.value for state in JobState if state.final]
        found: set[str] = set()
        wanted = sorted(jobs)
        with self._engine.connect() as connection:
            for i in range(0, len(wanted), 500):
                query = sa.select(JOBS.c.id).where(JOBS.c.id.in_(wanted[i : i + 500]), JOBS.c.state.not_in(over))
                found.update(connection.execute(query).scalars())
        return found

    def delete(self, job: str) -> None:
        """Forget a job and its events."""
        with self._engine.begin() as connection:
            connection.execute(EVENTS.delete().where(EVENTS.c.job == job))
            connection.execute(JOBS.delete().where(JOBS.c.id == job))

    def own_upload(self, digest: str, *, tenant: str) -> None:
        """From now on the tenant may use the upload."""
        row = {"tenant": tenant, "digest": digest, "created": time.time()}
        # Somebody who sends a file twice at once finds the row there.
        with contextlib.suppress(sa.exc.IntegrityError), self._engine.begin() as connection:
            connection.execute(UPLOADS.insert().values(row))

    def owns_upload(self, digest: str, *, tenant: str) -> bool:
        """Whether the tenant has sent the upload."""
        mine = sa.exists().where(UPLOADS.c.tenant == tenant, UPLOADS.c.digest == digest)
        with self._engine.connect() as connection:
            return bool(connection.execute(sa.select(mine)).scalar())


def append_events(
    connection: sa.Connection, job: str, events: Sequence[NewEvent], *, attempt: int | None = None
) -> int:
    """Record what happened to a job, in somebody's transaction; returns the newest one's number, or 0 for a job that is
    gone or, if `attempt` is given, that another attempt has taken over."""
    return append_together(connection, [Addition(job, attempt, events)]).get(job, 0)


def append_together(connection: sa.Connection, additions: Sequence[Addition]) -> dict[str, int]:
    """`append_events` for many jobs, in three statements however many they are; the newest number of each that is there
    and whose attempt is right. A job stands in one of `additions` at most."""
    if not additions:
        return {}
    # The row's own counter numbers the events; updating it first also locks the row against other writers.
    more = sa.case({one.job: len(one.events) for one in additions}, value=JOBS.c.id)
    query = (
        JOBS.update()
        .where(sa.or_(*(_of(one.job, one.attempt) for one in additions)))
        .values(sequence=JOBS.c.sequence + more)
    )
    counted = connection.execute(query.returning(JOBS.c.id, JOBS.c.tenant, JOBS.c.sequence)).all()
    news = {one.job: one.events for one in additions}
    outdated = {(row.id, event.replaces) for row in counted for event in news[row.id] if event.replaces}
    if outdated:
        connection.execute(EVENTS.delete().where(sa.tuple_(EVENTS.c.job, EVENTS.c.replaces).in_(sorted(outdated))))
    rows = [
        {
            "job": row.id,
            "tenant": row.tenant,
            "sequence": row.sequence - len(news[row.id]) + 1 + i,
            "time": event.time,
            "replaces": event.replaces,
            "body": canonical(dict(event.body)).decode(),
        }
        for row in counted
        for i, event in enumerate(news[row.id])
    ]
    if rows:
        connection.execute(EVENTS.insert(), rows)
    return {str(row.id): int(row.sequence) for row in counted}


def _of(job: str, attempt: int | None) -> sa.ColumnElement[bool]:
    """The job's row, if `attempt` is None or the one that runs it."""
    return JOBS.c.id == job if attempt is None else sa.and_(JOBS.c.id == job, JOBS.c.attempt == attempt)


def _job(row: sa.Row[Any]) -> Job:
    return Job(
        id=row.id,
        tenant=row.tenant,
        spec=restored(json.loads(row.spec)),
        spec_digest=row.spec_digest,
        state=JobState(row.state),
        created=row.created,
        started=row.started or 0.0,
        ended=row.ended or 0.0,
        error=row.error,
        result=row.result,
        sequence=row.sequence,
        executor=row.executor,
        attempt=row.attempt,
        failures=tuple(Failure(label, decode(error)) for label, error in json.loads(row.failures or "[]")),
        trace=row.trace,
    )


def _new_id(now: float) -> str:
    return f"{int(now * 1000):012x}{secrets.token_hex(5)}"
