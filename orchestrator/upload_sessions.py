"""The rows of uploads under way: how much of each counts, and who may add to it.

Must not know: gRPC, or how bytes arrive. Blocking: call it from a thread.
"""

from __future__ import annotations

import secrets
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from orchestrator.schema import UPLOAD_LOCK, UPLOAD_PIECES, UPLOAD_SESSIONS
from services.artifacts import Store
from services.errors import Busy, Conflict, NotFound
from services.store_walk import SESSIONS

_LIFE_SECONDS = 12 * 3600.0
_RETRY_SECONDS = 60.0


@dataclass(frozen=True)
class Session:
    """An upload that survives a broken connection.

    Attributes:
        digest, size: of the whole file. received: bytes of it that are kept. complete: it is whole and stored.
        expires: when it is given up, seconds since the epoch.
        holder: who may add to it.
    """

    id: str
    tenant: str
    filename: str
    digest: str
    size: int
    received: int
    complete: bool
    expires: float
    holder: str = ""

    @property
    def prefix(self) -> str:
        """Where its pieces lie in the store."""
        return f"{SESSIONS}{self.id}"


class Sessions:
    """The table, over an engine that somebody else opened."""

    def __init__(self, engine: sa.Engine, *, grace: float, clock: Callable[[], float] = time.time) -> None:
        """grace: seconds that staged data is safe from collection."""
        self._engine = engine
        self._life = min(_LIFE_SECONDS, grace / 2)
        self._clock = clock

    def create(
        self, *, tenant: str, filename: str, digest: str, size: int, complete: bool, most: int | None = None
    ) -> Session:
        """A new session, or the tenant's own for the same file that is as complete.

        most: how many of the tenant's may be open; None: any number. Raises Busy beyond that.
        """
        session = Session(
            id=secrets.token_hex(12),
            tenant=tenant,
            filename=filename,
            digest=digest,
            size=size,
            received=size if complete else 0,
            complete=complete,
            expires=self._clock() + self._life,
        )
        row = {name: getattr(session, name) for name in Session.__dataclass_fields__}
        c = UPLOAD_SESSIONS.c
        same = (c.tenant == tenant, c.digest == digest, c.size == size, c.complete.is_(complete))
        with self._engine.begin() as connection:
            _lock(connection, tenant)
            old = sa.select(c.id).where(c.expires <= self._clock())
            connection.execute(UPLOAD_PIECES.delete().where(UPLOAD_PIECES.c.session.in_(old)))
            connection.execute(UPLOAD_SESSIONS.delete().where(c.expires <= self._clock()))
            found = self._found(connection, *same)
            if found is not None:
                return found
            count = self._count(connection, tenant)
            if not complete and most is not None and count >= most:
                raise Busy(
                    f"{count} uploads of tenant {tenant} are under way, and {most} may be; finish some or delete them.",
                    retry_after=_RETRY_SECONDS,
                )
            connection.execute(UPLOAD_SESSIONS.insert().values(row))
        return session

    def get(self, session: str, *, tenant: str) -> Session:
        """Raises NotFound, also for a session of another tenant, or one that has expired."""
        with self._engine.connect() as connection:
            found = self._found(connection, UPLOAD_SESSIONS.c.id == session, UPLOAD_SESSIONS.c.tenant == tenant)
        return found or _missing(session)

    def same(self, *, tenant: str, digest: str, size: int) -> Session | None:
        """The tenant's session for the same file that is not complete."""
        c = UPLOAD_SESSIONS.c
        with self._engine.connect() as connection:
            return self._found(
                connection, c.tenant == tenant, c.digest == digest, c.size == size, c.complete.is_(False)
            )

    def _found(self, connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> Session | None:
        query = UPLOAD_SESSIONS.select().where(*conditions, UPLOAD_SESSIONS.c.expires > self._clock())
        row: Any = connection.execute(query.order_by(UPLOAD_SESSIONS.c.id).limit(1)).one_or_none()
        return None if row is None else Session(**row._mapping)

    def open(self, tenant: str) -> int:
        """How many sessions of the tenant are not complete."""
        with self._engine.connect() as connection:
            return self._count(connection, tenant)

    def _count(self, connection: sa.Connection, tenant: str) -> int:
        mine = (UPLOAD_SESSIONS.c.tenant == tenant, UPLOAD_SESSIONS.c.complete.is_(False))
        query = sa.select(sa.func.count()).where(*mine, UPLOAD_SESSIONS.c.expires > self._clock())
        return int(connection.execute(query).scalar_one())

    def held(self) -> int:
        """Bytes that have arrived of all tenants' uploads under way; the collection counts them nowhere else."""
        c = UPLOAD_SESSIONS.c
        query = sa.select(sa.func.coalesce(sa.func.sum(c.received), 0)).where(
            c.complete.is_(False), c.expires > self._clock()
        )
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def take(self, session: str, *, tenant: str) -> Session:
        """Become its holder: whoever was it before can add nothing any more. Raises NotFound."""
        holder = secrets.token_hex(8)
        mine = (UPLOAD_SESSIONS.c.id == session, UPLOAD_SESSIONS.c.tenant == tenant)
        with self._engine.begin() as connection:
            connection.execute(UPLOAD_SESSIONS.update().where(*mine).values(holder=holder))
        return replace(self.get(session, tenant=tenant), holder=holder)

    def add(self, session: Session, store: Store, *, offset: int, data: bytes) -> None:
        """Keep `data`, the file's bytes from `offset` on. Raises Conflict if somebody else goes on with the session."""
        # A name of its own: what is refused is removed, and must not be somebody's piece.
        path = f"{session.prefix}/{offset:015d}-{secrets.token_hex(4)}"
        store.put(path, data)
        c = UPLOAD_SESSIONS.c
        ours = (c.id == session.id, c.holder == session.holder, c.received == offset, c.complete.is_(False))
        with self._engine.begin() as connection:
            moved = connection.execute(UPLOAD_SESSIONS.update().where(*ours).values(received=offset + len(data)))
            if moved.rowcount:
                row = {"session": session.id, "offset": offset, "path": path, "size": len(data)}
                connection.execute(UPLOAD_PIECES.insert().values(row))
                return
        store.remove_object(path)
        raise Conflict("another stream goes on with this upload; ask GetUpload how much has arrived.")

    def pieces(self, session: Session) -> list[tuple[str, int]]:
        """Path in the store and bytes of each piece, in their order."""
        query = UPLOAD_PIECES.select().where(UPLOAD_PIECES.c.session == session.id).order_by(UPLOAD_PIECES.c.offset)
        with self._engine.connect() as connection:
            return [(row.path, row.size) for row in connection.execute(query)]

    def complete(self, session: Session) -> None:
        """The file is whole and stored."""
        with self._engine.begin() as connection:
            connection.execute(UPLOAD_PIECES.delete().where(UPLOAD_PIECES.c.session == session.id))
            mine = UPLOAD_SESSIONS.c.id == session.id
            connection.execute(UPLOAD_SESSIONS.update().where(mine).values(complete=True))

    def delete(self, session: Session, *, held: bool = False) -> bool:
        """Forget it; whether that was done. held: only if `session` still holds it."""
        c = UPLOAD_SESSIONS.c
        ours = (c.id == session.id, c.holder == session.holder) if held else (c.id == session.id,)
        with self._engine.begin() as connection:
            if not connection.execute(UPLOAD_SESSIONS.delete().where(*ours)).rowcount:
                return False
            connection.execute(UPLOAD_PIECES.delete().where(UPLOAD_PIECES.c.session == session.id))
        return True


def _missing(session: str) -> Session:
    raise NotFound(f"there is no upload {session!r}, or it was given up; begin it with StartUpload.", field="name")


def _lock(connection: sa.Connection, tenant: str) -> None:
    """Let the tenant begin one session at a time, until the transaction ends: what is counted stays true."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        # The second key is of 32 bits with a sign.
        key = zlib.crc32(tenant.encode()) - (1 << 31)
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(UPLOAD_LOCK, key)))
