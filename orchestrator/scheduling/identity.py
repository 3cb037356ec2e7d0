"""A replica's name belongs to one live process, and a SQLite database to one replica.

Held by what ends with the process, however it ends: a session of the database server, or a lock on a file.
Must not know: what the name is used for.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import time
from collections.abc import Iterator

import sqlalchemy as sa

from services.errors import Conflict

# A server needs a moment to see that the session of a dead process is over.
_PATIENCE_SECONDS = 10.0


@contextlib.contextmanager
def identity(engine: sa.Engine, name: str) -> Iterator[None]:
    """Be `name` for the length of the block. Blocks for some seconds if a predecessor has only just died.

    Raises:
        Conflict: somebody else is.
    """
    held = _session(engine, name) if engine.dialect.name == "postgresql" else _file(engine)
    with held:
        yield


@contextlib.contextmanager
def _file(engine: sa.Engine) -> Iterator[None]:
    path = engine.url.database
    if not path or path == ":memory:":
        yield
        return
    with open(f"{path}.owner", "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict(
                f"another orchestrator uses the database {path}; stop it, or give several of them PostgreSQL."
            ) from None
        yield


@contextlib.contextmanager
def _session(engine: sa.Engine, name: str) -> Iterator[None]:
    key = int.from_bytes(hashlib.sha256(f"omnimatte replica {name}".encode()).digest()[:8], "big", signed=True)
    # A connection of its own: the lock is its session's. Should the server restart, the lock goes with it; then a
    # second process of the name would be a replica whose incarnation differs, and one of the two finds itself struck
    # off.
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    try:
        until = time.monotonic() + _PATIENCE_SECONDS
        while not connection.execute(sa.select(sa.func.pg_try_advisory_lock(key))).scalar_one():
            if time.monotonic() > until:
                raise Conflict(
                    f"another orchestrator is called {name}; give each one a name of its own (--executor-id)."
                )
            time.sleep(0.2)
        yield
    finally:
        with contextlib.suppress(sa.exc.SQLAlchemyError):
            connection.detach()
            connection.close()
