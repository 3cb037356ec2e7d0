"""The replicas that run jobs: who is there, who has fallen silent, and what becomes of a silent one's jobs.

A replica says every few seconds that it is there. One of the others, whoever gets the lock, looks for the silent, gives
their jobs back to the queue and strikes them off the list. One that was only slow finds itself struck off, stops what
it runs, and registers again; until it does, the fence of orchestrator/scheduling/queue.py keeps it from writing.

Silence counts only while the one who listens could be heard itself: after the database was away, everybody is silent.
Must not know: how a job is run. Blocking: call it from a thread.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import sqlalchemy as sa

from orchestrator.records import JobState
from orchestrator.scheduling import queue
from orchestrator.scheduling.queue import Lost
from orchestrator.schema import JOBS, REPLICAS, SWEEP_LOCK, now


@dataclass(frozen=True)
class Sweep:
    """What a look for silent replicas has found.

    Attributes:
        silent: replicas that were struck off.
        jobs: jobs that wait again, or that ended as cancelled.
    """

    silent: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()


class Replicas:
    """The list of replicas, over an engine that somebody else opened."""

    def __init__(self, engine: sa.Engine, *, silent_after: float) -> None:
        """silent_after: seconds."""
        self._engine = engine
        self._silent_after = silent_after
        self._heard_since = 0.0
        self._heard = 0.0

    def register(self, replica: str, *, places: int) -> str:
        """Put the replica on the list; returns the name of this incarnation of it."""
        incarnation = secrets.token_hex(16)
        with self._engine.begin() as connection:
            moment = now(connection)
            connection.execute(REPLICAS.delete().where(REPLICAS.c.id == replica))
            row = {"id": replica, "incarnation": incarnation, "places": places, "started": moment, "seen": moment}
            connection.execute(REPLICAS.insert().values(row))
        return incarnation

    def beat(self, replica: str, incarnation: str) -> None:
        """Say that the replica is there. Raises Lost if it was struck off."""
        mine = (REPLICAS.c.id == replica, REPLICAS.c.incarnation == incarnation)
        with self._engine.begin() as connection:
            moment = now(connection)
            if connection.execute(REPLICAS.update().where(*mine).values(seen=moment)).rowcount == 0:
                raise Lost
        if moment - self._heard > self._silent_after / 2:
            self._heard_since = moment
        self._heard = moment

    def leave(self, replica: str, incarnation: str) -> None:
        """Take the replica off the list."""
        mine = (REPLICAS.c.id == replica, REPLICAS.c.incarnation == incarnation)
        with self._engine.begin() as connection:
            connection.execute(REPLICAS.delete().where(*mine))

    def sweep(self) -> Sweep | None:
        """Look for silent replicas; None if somebody else is looking just now, or if we were not heard ourselves."""
        if self._heard - self._heard_since < self._silent_after:
            return None
        with self._engine.begin() as connection:
            if not _alone(connection):
                return None
            query = sa.select(REPLICAS.c.id).where(REPLICAS.c.seen < now(connection) - self._silent_after)
            silent = tuple(connection.execute(query.order_by(REPLICAS.c.id)).scalars())
            connection.execute(REPLICAS.delete().where(REPLICAS.c.id.in_(silent)))
            return Sweep(silent, tuple(_freed(connection)))

    def listed(self) -> list[str]:
        """The replicas that are there."""
        with self._engine.connect() as connection:
            return list(connection.execute(sa.select(REPLICAS.c.id).order_by(REPLICAS.c.id)).scalars())


def _freed(connection: sa.Connection) -> list[str]:
    """Free the jobs of those who are not on the list, also of one that was struck off by hand or never came back."""
    listed = sa.select(REPLICAS.c.id)
    running = JOBS.c.state.in_([JobState.RUNNING.value, JobState.CANCELLING.value])
    query = sa.select(JOBS.c.id, JOBS.c.attempt).where(running, JOBS.c.executor.not_in(listed)).order_by(JOBS.c.id)
    found = connection.execute(query).all()
    for row in found:
        if not queue.hand_back(connection, row.id, attempt=row.attempt):
            queue.cancelled(connection, row.id, attempt=row.attempt)
    return [row.id for row in found]


def _alone(connection: sa.Connection) -> bool:
    """Whether nobody else sweeps until the transaction ends."""
    if connection.dialect.name == "postgresql":
        return bool(connection.execute(sa.select(sa.func.pg_try_advisory_xact_lock(SWEEP_LOCK))).scalar_one())
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    return True
