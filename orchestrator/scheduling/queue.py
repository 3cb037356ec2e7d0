"""The queue of jobs as the database has it: who may take which job, and who has it.

A job that runs has an executor and the number of the attempt. Both are the fence: whoever writes about a running job
names the attempt, and one that somebody else has taken over meanwhile can write nothing any more.
Must not know: how a job is run. Blocking: call it from a thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from orchestrator.db import append_events
from orchestrator.records import JobState, NewEvent
from orchestrator.scheduling.policy import Policies, Shares, Standing, Waiting, choose
from orchestrator.schema import JOBS, QUEUE_LOCK, REPLICAS, SHARES, now
from orchestrator.timing import Line, Scheduling
from services.errors import DeadlineExceeded, encode

_QUEUED = JOBS.c.state == JobState.QUEUED.value
_RUNS = JOBS.c.state.in_([JobState.RUNNING.value, JobState.CANCELLING.value])
# Its first place in the queue is the queue's own clock.
_CLOCK = ""


class Lost(Exception):
    """This replica was taken for dead; its jobs are others' now."""


@dataclass(frozen=True)
class Claim:
    """A job that this replica has taken: it and nobody else runs attempt `attempt` of it."""

    job: str
    attempt: int


@dataclass(frozen=True)
class Depth:
    """How many jobs of a tenant wait in a line, and since when the oldest does (seconds since the epoch)."""

    tenant: str
    line: Line
    jobs: int
    oldest: float


class Queue:
    """The jobs that wait and run, over an engine that somebody else opened."""

    def __init__(self, engine: sa.Engine, policies: Policies) -> None:
        self._engine = engine
        self._policies = policies

    def claim(self, replica: str, incarnation: str, *, places: int) -> list[Claim]:
        """Take up to `places` jobs, those that are next; they are RUNNING from now on.

        Raises:
            Lost: the replica is not registered under this incarnation any more.
        """
        with self._engine.begin() as connection:
            _take_turns(connection)
            mine = (REPLICAS.c.id == replica, REPLICAS.c.incarnation == incarnation)
            # Locked: whoever wants to strike us off waits, and then finds what we have taken.
            if connection.execute(sa.select(REPLICAS.c.id).where(*mine).with_for_update(read=True)).first() is None:
                raise Lost
            return list(self._claims(connection, replica, places))

    def _claims(self, connection: sa.Connection, replica: str, places: int) -> Iterator[Claim]:
        waiting = {(one.tenant, one.line): one.jobs for one in _waiting(connection)}
        running, shares = (_running(connection), _shares(connection)) if waiting else ({}, Shares(0.0, {}))
        while places > 0:
            lines = [Waiting(tenant, line, jobs) for (tenant, line), jobs in waiting.items()]
            chosen = choose(lines, running, shares, self._policies)
            if chosen is None:
                return
            waiting[chosen.tenant, chosen.line] -= 1
            head = _head(connection, chosen)
            if head is None or (claim := _taken(connection, head, replica)) is None:
                # Somebody has cancelled it just now.
                continue
            # A job that comes back has been paid for.
            cost = head.cost if head.attempt == 0 else 0.0
            shares = shares.after(chosen.tenant, cost=cost, weight=self._policies.of(chosen.tenant).weight)
            _set_shares(connection, shares, chosen.tenant)
            running[chosen.tenant] = running.get(chosen.tenant, 0) + 1
            places -= 1
            yield claim

    def hand_back(self, claim: Claim) -> bool:
        """Give up a job that has not ended: it waits again. Returns whether it was still ours."""
        with self._engine.begin() as connection:
            return hand_back(connection, claim.job, attempt=claim.attempt)

    def mine(self, replica: str) -> list[Claim]:
        """The jobs that the replica has taken and that have not ended."""
        query = sa.select(JOBS.c.id, JOBS.c.attempt).where(JOBS.c.executor == replica, _RUNS).order_by(JOBS.c.id)
        with self._engine.connect() as connection:
            return [Claim(row.id, row.attempt) for row in connection.execute(query)]

    def cancelling(self, replica: str) -> list[str]:
        """The replica's jobs that somebody wants to stop."""
        asked = JOBS.c.state == JobState.CANCELLING.value
        with self._engine.connect() as connection:
            found = connection.execute(sa.select(JOBS.c.id).where(JOBS.c.executor == replica, asked))
            return [str(job) for job in found.scalars()]

    def expire(self) -> list[str]:
        """Fail the jobs that have waited beyond their deadline; returns them."""
        with self._engine.begin() as connection:
            query = sa.select(JOBS.c.id).where(_QUEUED, JOBS.c.deadline < now(connection))
            late = [str(job) for job in connection.execute(query).scalars()]
            error = encode(too_late("waited in the queue"))
            return [job for job in late if _moved(connection, job, _QUEUED, JobState.FAILED, error=error)]

    def pending(self, tenant: str) -> int:
        """How many jobs of the tenant wait."""
        query = sa.select(sa.func.count()).where(_QUEUED, JOBS.c.tenant == tenant)
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def ahead(self, tenant: str, scheduling: Scheduling) -> int:
        """How many jobs would come, or may come, before one that the tenant creates now."""
        mine = sa.and_(
            JOBS.c.tenant == tenant,
            JOBS.c.line == scheduling.line.value,
            JOBS.c.priority >= scheduling.priority,
        )
        with self._engine.connect() as connection:
            own = connection.execute(sa.select(sa.func.count()).where(_QUEUED, mine)).scalar_one()
            passing = (one for one in _waiting(connection) if _may_pass(one, scheduling.line))
            return int(own) + sum(one.jobs for one in passing if (one.tenant, one.line) != (tenant, scheduling.line))

    def depths(self) -> list[Depth]:
        """What waits, by tenant and line."""
        query = sa.select(JOBS.c.tenant, JOBS.c.line, sa.func.count(), sa.func.min(JOBS.c.created)).where(_QUEUED)
        with self._engine.connect() as connection:
            rows = connection.execute(query.group_by(JOBS.c.tenant, JOBS.c.line))
            return [Depth(tenant, Line(line), jobs, oldest) for tenant, line, jobs, oldest in rows]

    def standing(self, job: str) -> Standing | None:
        """Where a job stands in the queue; None for one that does not wait."""
        with self._engine.connect() as connection:
            found = connection.execute(JOBS.select().where(JOBS.c.id == job, _QUEUED)).one_or_none()
            if found is None:
                return None
            waiting, running = _waiting(connection), _running(connection)
            places = connection.execute(sa.select(sa.func.count(), sa.func.sum(REPLICAS.c.places))).one()
            return Standing(
                tenant=found.tenant,
                ahead=connection.execute(sa.select(sa.func.count()).where(*_before(found))).scalar_one(),
                others=sum(one.jobs for one in waiting if one.tenant != found.tenant and _may_pass(one, found.line)),
                running=running.get(found.tenant, 0),
                all_running=sum(running.values()),
                replicas=places[0],
                places=places[1] or 0,
                handed_back=found.attempt > 0,
            )


def too_late(doing: str) -> DeadlineExceeded:
    """The error of a job whose time is over."""
    return DeadlineExceeded(f"the job's timeout passed while it {doing}; give it more time, or none.", field="timeout")


def hand_back(connection: sa.Connection, job: str, *, attempt: int) -> bool:
    """Let a running job wait again, if `attempt` is still the one that runs."""
    running = sa.and_(JOBS.c.state == JobState.RUNNING.value, JOBS.c.attempt == attempt)
    return _moved(connection, job, running, JobState.QUEUED, executor="")


def cancelled(connection: sa.Connection, job: str, *, attempt: int) -> bool:
    """End a job that somebody wanted to stop and that nobody runs any more."""
    asked = sa.and_(JOBS.c.state == JobState.CANCELLING.value, JOBS.c.attempt == attempt)
    return _moved(connection, job, asked, JobState.CANCELLED)


def _moved(
    connection: sa.Connection, job: str, condition: sa.ColumnElement[bool], to: JobState, **changes: object
) -> bool:
    values: dict[str, object] = {"state": to.value, **changes}
    if to.final:
        values["ended"] = now(connection)
    if connection.execute(JOBS.update().where(JOBS.c.id == job, condition).values(values)).rowcount == 0:
        return False
    body = {"state": to.value, "error": changes.get("error", ""), "result": ""}
    append_events(connection, job, [NewEvent({"job": body})])
    return True


def _take_turns(connection: sa.Connection) -> None:
    """Those who take jobs do it one after the other: a choice rests on counts that another one changes."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(QUEUE_LOCK)))
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _waiting(connection: sa.Connection) -> list[Waiting]:
    query = sa.select(JOBS.c.tenant, JOBS.c.line, sa.func.count()).where(_QUEUED).group_by(JOBS.c.tenant, JOBS.c.line)
    return [Waiting(tenant, Line(line), jobs) for tenant, line, jobs in connection.execute(query)]


def _running(connection: sa.Connection) -> dict[str, int]:
    query = sa.select(JOBS.c.tenant, sa.func.count()).where(_RUNS).group_by(JOBS.c.tenant)
    return {tenant: count for tenant, count in connection.execute(query)}


def _shares(connection: sa.Connection) -> Shares:
    served = {row.tenant: row.served for row in connection.execute(SHARES.select())}
    return Shares(clock=served.pop(_CLOCK, 0.0), served=served)


def _set_shares(connection: sa.Connection, shares: Shares, tenant: str) -> None:
    values: Mapping[str, float] = {_CLOCK: shares.clock, tenant: shares.served[tenant]}
    for name, served in values.items():
        changed = connection.execute(SHARES.update().where(SHARES.c.tenant == name).values(served=served))
        if changed.rowcount == 0:
            connection.execute(SHARES.insert().values(tenant=name, served=served))


def _head(connection: sa.Connection, line: Waiting) -> Any:
    query = sa.select(JOBS.c.id, JOBS.c.attempt, JOBS.c.cost)
    query = query.where(_QUEUED, JOBS.c.tenant == line.tenant, JOBS.c.line == line.line.value)
    return connection.execute(query.order_by(JOBS.c.priority.desc(), JOBS.c.id).limit(1)).one_or_none()


def _taken(connection: sa.Connection, head: sa.Row[Any], replica: str) -> Claim | None:
    attempt = head.attempt + 1
    changes = {"executor": replica, "attempt": attempt, "started": sa.func.coalesce(JOBS.c.started, now(connection))}
    return Claim(head.id, attempt) if _moved(connection, head.id, _QUEUED, JobState.RUNNING, **changes) else None


def _before(job: sa.Row[Any]) -> list[sa.ColumnElement[bool]]:
    first = sa.or_(JOBS.c.priority > job.priority, sa.and_(JOBS.c.priority == job.priority, JOBS.c.id < job.id))
    return [_QUEUED, JOBS.c.tenant == job.tenant, JOBS.c.line == job.line, first]


def _may_pass(one: Waiting, line: str) -> bool:
    return one.line is Line.INTERACTIVE or line != Line.INTERACTIVE
