"""The rows of uploads under way: how much of each counts, and who may add to it.

Must not know: gRPC, or how bytes arrive. Blocking: call it from a thread.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from orchestrator.schema import UPLOAD_PIECES, UPLOAD_SESSIONS
from services.artifacts import Store
from services.errors import Conflict, NotFound
from services.store_walk import STAGING

_LIFE_SECONDS = 12 * 3600.0


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
        return f"{STAGING}sessions/{self.id}"


class Sessions:
    """The table, over an engine that somebody else opened."""

    def __init__(self, engine: sa.Engine, *, grace: float, clock: Callable[[], float] = time.time) -> None:
        """grace: seconds that staged data is safe from collection."""
        self._engine = engine
        self._life = min(_LIFE_SECONDS, grace / 2)
        self._clock = clock

    def create(self, *, tenant: str, filename: str, digest: str, size: int, complete: bool) -> Session:
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
        with self._engine.begin() as connection:
            old = sa.select(UPLOAD_SESSIONS.c.id).where(UPLOAD_SESSIONS.c.expires <= self._clock())
            connection.execute(UPLOAD_PIECES.delete().where(UPLOAD_PIECES.c.session.in_(old)))
            connection.execute(UPLOAD_SESSIONS.delete().where(UPLOAD_SESSIONS.c.expires <= self._clock()))
            connection.execute(UPLOAD_SESSIONS.insert().values(row))
        return session

    def get(self, session: str, *, tenant: str) -> Session:
        """Raises NotFound, also for a session of another tenant, or one that has expired."""
        return self._found(UPLOAD_SESSIONS.c.id == session, UPLOAD_SESSIONS.c.tenant == tenant) or _missing(session)

    def same(self, *, tenant: str, digest: str, size: int) -> Session | None:
        """The tenant's session for the same file that is not complete."""
        c = UPLOAD_SESSIONS.c
        return self._found(c.tenant == tenant, c.digest == digest, c.size == size, c.complete.is_(False))

    def _found(self, *conditions: sa.ColumnElement[bool]) -> Session | None:
        query = UPLOAD_SESSIONS.select().where(*conditions, UPLOAD_SESSIONS.c.expires > self._clock())
        with self._engine.connect() as connection:
            row: Any = connection.execute(query.order_by(UPLOAD_SESSIONS.c.id).limit(1)).one_or_none()
        return None if row is None else Session(**row._mapping)

    def open(self, tenant: str) -> int:
        """How many sessions of the tenant are not complete."""
        mine = (UPLOAD_SESSIONS.c.tenant == tenant, UPLOAD_SESSIONS.c.complete.is_(False))
        query = sa.select(sa.func.count()).where(*mine, UPLOAD_SESSIONS.c.expires > self._clock())
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

    def delete(self, session: Session) -> None:
        with self._engine.begin() as connection:
            connection.execute(UPLOAD_PIECES.delete().where(UPLOAD_PIECES.c.session == session.id))
            connection.execute(UPLOAD_SESSIONS.delete().where(UPLOAD_SESSIONS.c.id == session.id))


def _missing(session: str) -> Session:
    raise NotFound(f"there is no upload {session!r}, or it was given up; begin it with StartUpload.", field="name")
