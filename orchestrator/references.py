"""Which job needs which artifact, and which artifacts are being deleted: the tables that decide both.

An artifact's row is the lock that its users and its deleters meet at. A user takes it to add a reference; a deleter
takes it to look for references and, if there are none, to mark it as doomed. Both happen in one transaction that has
written to the row first, so one of them sees what the other has done, on SQLite (whose writers take turns) as on
PostgreSQL (whose row locks hold until the commit, after which each statement sees what was committed). See
orchestrator/keep.py for why nothing that a live job needs can be deleted.

A reference counts as long as its job's row exists: deleting a job drops its references, also if the process dies then.
Must not know: the store, stages, or gRPC. Blocking: call it from a thread.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.records import JobState
from orchestrator.schema import ARTIFACTS, JOBS, OWNER, REFERENCES

_FINAL = [state.value for state in JobState if state.final]

# The row that stands for what lies in the store and is no artifact, as the last walk found it.
_REST = ""

TAKEOVER_SECONDS = 600.0
"""A mark this old was left by a deleter that died: longer than any request to a store may take, retries included."""


class Role(StrEnum):
    """What the artifact is to the job; retention tells DELIVERABLE from the others."""

    UPLOAD = "upload"
    INTERMEDIATE = "intermediate"
    DELIVERABLE = "deliverable"


class Answer(StrEnum):
    """What became of the wish for a reference.

    DOOMED: somebody deletes the artifact just now; nothing was recorded, ask again. STALE: the same, but whoever began
    it is dead.
    """

    HELD = "held"
    DOOMED = "doomed"
    STALE = "stale"


@dataclass(frozen=True)
class Claim:
    """The wish for a reference: `job` needs the artifact at `address`."""

    job: str
    address: str
    role: Role


@dataclass(frozen=True)
class Held:
    """A reference: `job` needs the artifact at `address`. `final` tells that the job has ended."""

    job: str
    address: str
    role: Role
    final: bool


class References:
    """What the tables hold, over an engine that somebody else opened."""

    def __init__(self, engine: sa.Engine, *, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock
        self._insert: Any = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert
        with engine.begin() as connection:
            row = {"one": 1, "id": secrets.token_hex(16), "collected": 0.0}
            connection.execute(self._insert(OWNER).values(row).on_conflict_do_nothing())

    def identity(self) -> str:
        """A name of this database that no other has."""
        with self._engine.connect() as connection:
            return str(connection.execute(sa.select(OWNER.c.id)).scalar_one())

    def turn(self, *, every: float) -> bool:
        """Whether it is time to collect again, and the caller's turn: of many replicas one hears True."""
        now = self._clock()
        query = OWNER.update().where(OWNER.c.collected <= now - every).values(collected=now)
        with self._engine.begin() as connection:
            return connection.execute(query).rowcount > 0

    def claim(self, job: str, address: str, *, role: Role) -> Answer:
        """`claim_all` for one."""
        wish = Claim(job, address, role)
        return self.claim_all([wish])[wish]

    def claim_all(self, claims: Sequence[Claim]) -> dict[Claim, Answer]:
        """Record that a job needs an artifact, for each, in one transaction; they are used now. Only after HELD may an
        artifact be looked for: what is there then, stays. Those that are doomed do not keep the others from theirs.
        """
        with self._engine.begin() as connection:
            return self._claimed(connection, claims)

    def claim_within(self, connection: sa.Connection, job: str, addresses: Iterable[str], *, role: Role) -> bool:
        """The same in somebody's transaction; False if one of them is doomed: roll back then."""
        answers = self._claimed(connection, [Claim(job, one, role) for one in addresses])
        return all(answer is Answer.HELD for answer in answers.values())

    def _claimed(self, connection: sa.Connection, claims: Sequence[Claim]) -> dict[Claim, Answer]:
        if not claims:
            return {}
        now = self._clock()
        # In one order for all, or two transactions could wait for each other.
        artifacts = [_unmarked(address, used=now) for address in sorted({one.address for one in claims})]
        use = self._insert(ARTIFACTS).on_conflict_do_update(index_elements=["address"], set_={"used": now})
        rows = connection.execute(use.returning(ARTIFACTS.c.address, ARTIFACTS.c.doomed), artifacts)
        answers = {address: self._answer(doomed, now) for address, doomed in rows}
        # An artifact may be both to a job: of its deliverables it is the last role that counts.
        held = {(one.job, one.address): one.role for one in claims if answers[one.address] is Answer.HELD}
        if held:
            refer = self._insert(REFERENCES)
            refer = refer.on_conflict_do_update(index_elements=["job", "address"], set_={"role": refer.excluded.role})
            connection.execute(
                refer,
                [
                    {"job": job, "address": address, "role": role.value, "made": now}
                    for (job, address), role in sorted(held.items())
                ],
            )
        return {one: answers[one.address] for one in claims}

    def touch(self, address: str) -> Answer:
        """The artifact is used now, by no job yet: the grace period begins anew."""
        with self._engine.begin() as connection:
            return self._use(connection, address)

    def _use(self, connection: sa.Connection, address: str) -> Answer:
        now = self._clock()
        doomed, _ = self._locked(connection, address, {"used": now}, used=now)
        return self._answer(doomed, now)

    def _answer(self, doomed: float | None, now: float) -> Answer:
        if doomed is None:
            return Answer.HELD
        return Answer.DOOMED if now - doomed < TAKEOVER_SECONDS else Answer.STALE

    def _locked(
        self, connection: sa.Connection, address: str, changes: Mapping[str, Any], *, used: float
    ) -> tuple[float | None, float]:
        """Take the row's lock, making the row if need be; (doomed, used)."""
        query = (
            self._insert(ARTIFACTS)
            .values(_unmarked(address, used=used))
            .on_conflict_do_update(index_elements=["address"], set_=changes)
        )
        found = connection.execute(query.returning(ARTIFACTS.c.doomed, ARTIFACTS.c.used)).one()
        return found.doomed, found.used

    def doom(self, address: str, *, unused_since: float, force: bool = False) -> str:
        """Mark the artifact as one that is being deleted; returns the mark, "" if it must stay.

        It stays while a job refers to it, or if it was used after `unused_since`; not so with `force`, which is for
        what is broken. A mark that a dead deleter left is taken over.
        """
        now, mark = self._clock(), secrets.token_hex(16)
        with self._engine.begin() as connection:
            doomed, used = self._locked(connection, address, {"address": address}, used=0.0)
            if doomed is not None:
                if now - doomed < TAKEOVER_SECONDS:
                    return ""
            elif not force and (used > unused_since or self._referenced(connection, address)):
                return ""
            connection.execute(_at(address).values(doomed=now, token=mark))
        return mark

    def _referenced(self, connection: sa.Connection, address: str) -> bool:
        needed = sa.exists().where(REFERENCES.c.address == address, REFERENCES.c.job == JOBS.c.id)
        return bool(connection.execute(sa.select(needed)).scalar())

    def release(self, address: str, mark: str) -> None:
        """The artifact is gone: its address is free to be made again."""
        query = ARTIFACTS.delete().where(ARTIFACTS.c.address == address, ARTIFACTS.c.token == mark)
        with self._engine.begin() as connection:
            connection.execute(query)

    def spare(self, address: str, mark: str) -> None:
        """Take the mark back: the artifact was not deleted."""
        with self._engine.begin() as connection:
            connection.execute(_at(address).where(ARTIFACTS.c.token == mark).values(doomed=None, token=""))

    def stale(self) -> list[str]:
        """Artifacts whose deleter has died."""
        query = sa.select(ARTIFACTS.c.address).where(ARTIFACTS.c.doomed <= self._clock() - TAKEOVER_SECONDS)
        with self._engine.connect() as connection:
            return [str(address) for address in connection.execute(query).scalars()]

    def candidates(self, addresses: Iterable[str], *, unused_since: float) -> set[str]:
        """Those of `addresses` that `doom` would probably mark. Decides nothing."""
        wanted = list(addresses)
        used = sa.select(ARTIFACTS.c.address).where(ARTIFACTS.c.used > unused_since)
        needed = sa.select(REFERENCES.c.address).join(JOBS, JOBS.c.id == REFERENCES.c.job)
        kept: set[str] = set()
        with self._engine.connect() as connection:
            for i in range(0, len(wanted), 500):
                part = wanted[i : i + 500]
                kept.update(connection.execute(used.where(ARTIFACTS.c.address.in_(part))).scalars())
                kept.update(connection.execute(needed.where(REFERENCES.c.address.in_(part))).scalars())
        return set(wanted) - kept

    def expire(self, *, intermediates: float, deliverables: float) -> int:
        """Drop the references of jobs that are gone, and of those that ended that many seconds ago; how many."""
        now = self._clock()
        known = sa.select(JOBS.c.id)
        dropped = 0
        with self._engine.begin() as connection:
            dropped += connection.execute(REFERENCES.delete().where(REFERENCES.c.job.not_in(known))).rowcount
            for kept, condition in (
                (intermediates, REFERENCES.c.role != Role.DELIVERABLE.value),
                (deliverables, REFERENCES.c.role == Role.DELIVERABLE.value),
            ):
                over = known.where(JOBS.c.state.in_(_FINAL), JOBS.c.ended < now - kept)
                dropped += connection.execute(REFERENCES.delete().where(condition, REFERENCES.c.job.in_(over))).rowcount
        return dropped

    def forget(self, job: str, address: str) -> None:
        """Drop one reference of a job that has ended."""
        ended = sa.select(JOBS.c.id).where(JOBS.c.state.in_(_FINAL))
        query = REFERENCES.delete().where(REFERENCES.c.job == job, REFERENCES.c.address == address)
        with self._engine.begin() as connection:
            connection.execute(query.where(REFERENCES.c.job.in_(ended)))

    def held(self) -> list[Held]:
        """Every reference of a job that exists."""
        query = sa.select(REFERENCES, JOBS.c.state).join(JOBS, JOBS.c.id == REFERENCES.c.job)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(REFERENCES.c.job, REFERENCES.c.address))
            return [Held(row.job, row.address, Role(row.role), row.state in _FINAL) for row in rows]

    def unreferenced_jobs(self, *, intermediates: float, deliverables: float) -> list[str]:
        """Jobs without references that should have some: those of a database from before there were any."""
        now = self._clock()
        without = ~sa.exists().where(REFERENCES.c.job == JOBS.c.id)
        due = sa.or_(
            JOBS.c.state.not_in(_FINAL),
            JOBS.c.ended >= now - intermediates,
            sa.and_(JOBS.c.result != "", JOBS.c.ended >= now - deliverables),
        )
        with self._engine.connect() as connection:
            return [str(job) for job in connection.execute(sa.select(JOBS.c.id).where(without, due)).scalars()]

    def oldest_start(self) -> float:
        """When the job that has been under way for longest began; now, if none is."""
        query = sa.select(sa.func.min(JOBS.c.started)).where(JOBS.c.state.not_in(_FINAL))
        with self._engine.connect() as connection:
            return min(self._clock(), connection.execute(query).scalar() or self._clock())

    def weigh(self, sizes: Mapping[str, int]) -> None:
        """Record the sizes in bytes of artifacts that are there."""
        rows = [_unmarked(address, used=0.0, size=size) for address, size in sorted(sizes.items())]
        if rows:
            query = self._insert(ARTIFACTS)
            query = query.on_conflict_do_update(index_elements=["address"], set_={"size": query.excluded.size})
            with self._engine.begin() as connection:
                connection.execute(query, rows)

    def absent(self, shard: str, *, present: Iterable[str], unused_since: float) -> None:
        """Of the shard only `present` is there: forget the others, if nobody has used them after `unused_since`."""
        among = ARTIFACTS.c.address.startswith(shard, autoescape=True)
        old = sa.and_(among, ARTIFACTS.c.used <= unused_since, ARTIFACTS.c.doomed.is_(None))
        with self._engine.begin() as connection:
            found = set(connection.execute(sa.select(ARTIFACTS.c.address).where(old)).scalars()) - {_REST}
            gone = sorted(found - set(present))
            for i in range(0, len(gone), 500):
                connection.execute(ARTIFACTS.delete().where(old, ARTIFACTS.c.address.in_(gone[i : i + 500])))

    def weigh_rest(self, size: int) -> None:
        """Record the bytes of what is no artifact."""
        self.weigh({_REST: size})

    def size(self) -> int:
        """Bytes of the store, as far as they are known: every artifact, and the rest as of the last walk."""
        with self._engine.connect() as connection:
            return int(connection.execute(sa.select(sa.func.coalesce(sa.func.sum(ARTIFACTS.c.size), 0))).scalar_one())


def _unmarked(address: str, *, used: float, size: int = 0) -> dict[str, Any]:
    """The row of an artifact that nobody deletes."""
    return {"address": address, "size": size, "used": used, "doomed": None, "token": ""}


def _at(address: str) -> sa.Update:
    return ARTIFACTS.update().where(ARTIFACTS.c.address == address)
