"""How a database comes to have the tables of schema.py: made, checked by a schema number, upgraded.

Must not know: what the rows mean to anybody. Blocking: call it from a thread.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from orchestrator.schema import JOBS, METADATA, NUMBER, SCHEMA, TABLES_LOCK, UPLOADS
from services.errors import BadOption, Conflict, Unavailable

_BUSY_SECONDS = 30


def opened(url: str) -> sa.Engine:
    """An engine on the database at `url`, which has the tables afterwards.

    Raises:
        Conflict: the database was made by another version, and cannot be upgraded here. Nothing has changed in it.
        Unavailable: it cannot be reached. BadOption: `url` is none.
    """
    try:
        engine = sa.create_engine(url, **_engine_options(url))
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ModuleNotFoundError) as error:
        # Not its own words: it may hold a password.
        raise BadOption(
            "the database's URL cannot be used; it looks like sqlite:////folder/file or "
            "postgresql+psycopg://user:password@host/database."
        ) from error
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _tune_sqlite)
        _let_writers_queue(engine)
    try:
        with engine.begin() as connection:
            _lock(connection)
            _prepare(connection)
    except sa.exc.OperationalError as error:
        engine.dispose()
        raise Unavailable(
            f"the database {engine.url} cannot be opened ({error.orig}); is it up, and the URL right?"
        ) from error
    except BaseException:
        engine.dispose()
        raise
    return engine


def _engine_options(url: str) -> dict[str, Any]:
    if url.startswith("sqlite"):
        # Enough for every thread: who waits for its turn to write must not keep others from reading.
        return {"connect_args": {"timeout": 30}, "pool_size": 64, "max_overflow": 64}
    # A connection that a restart of the server has cut is noticed before it is used.
    return {"pool_pre_ping": True, "pool_size": 10, "max_overflow": 20, "connect_args": {"connect_timeout": 10}}


def _lock(connection: sa.Connection) -> None:
    """Keep others from preparing the same database until the transaction ends."""
    if connection.dialect.name == "sqlite":
        # Its driver begins no transaction for changes of tables, so half an upgrade could stay.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(TABLES_LOCK)))


def _prepare(connection: sa.Connection) -> None:
    number = _number(connection)
    if number is None:
        METADATA.create_all(connection)
        connection.execute(NUMBER.insert().values(number=SCHEMA))
    elif number > SCHEMA:
        raise Conflict(
            f"the database has schema {number}, this version knows {SCHEMA}: a newer version made it; run that "
            "version, or restore the backup from before its upgrade."
        )
    elif number < SCHEMA:
        if number != 1 or connection.dialect.name != "sqlite":
            raise Conflict(
                f"the database has schema {number}, this version needs {SCHEMA} and upgrades SQLite from 1 only; let "
                "the jobs end on the old version, then start this one on an empty database."
            )
        _upgrade_from_1(connection)


def _number(connection: sa.Connection) -> int | None:
    """The schema of the database; None for one without our tables."""
    inspector = sa.inspect(connection)
    if inspector.has_table(NUMBER.name):
        return int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(NUMBER.c.number), 0))).scalar_one())
    return 1 if inspector.has_table(JOBS.name) else None


def _upgrade_from_1(connection: sa.Connection) -> None:
    """Everything becomes the local tenant's; SQLite cannot change a constraint, so the rows move to new tables."""
    run = connection.exec_driver_sql
    for table in ("jobs", "job_events"):
        run(f"ALTER TABLE {table} RENAME TO {table}_1")
    for index in ("ix_jobs_state", "ix_jobs_result"):
        run(f"DROP INDEX IF EXISTS {index}")
    METADATA.create_all(connection)
    jobs = "id, request_id, spec, spec_digest, state, created, started, ended, error, result, sequence"
    run(f"INSERT INTO jobs (tenant, {jobs}) SELECT 'local', {jobs} FROM jobs_1")
    events = "job, sequence, time, replaces, body"
    run(f"INSERT INTO job_events (tenant, {events}) SELECT 'local', {events} FROM job_events_1")
    rows = connection.execute(sa.select(JOBS.c.spec, JOBS.c.created).order_by(JOBS.c.id))
    # Which other files were uploaded is not recorded; they have to be sent again.
    uploads = {digest: created for spec, created in rows for digest in _digests(json.loads(spec))}
    for digest, created in uploads.items():
        connection.execute(UPLOADS.insert().values(tenant="local", digest=digest, created=created))
    run("DROP TABLE job_events_1")
    run("DROP TABLE jobs_1")
    connection.execute(NUMBER.insert().values(number=SCHEMA))


def _digests(spec: Mapping[str, Any]) -> Iterator[str]:
    files = [spec["source"], spec.get("preserve"), *(item.get("mask") for item in spec["objects"])]
    yield from (file["digest"] for file in files if file)


def _let_writers_queue(engine: sa.Engine) -> None:
    """SQLite has one writer at a time, and others look again after a sleep that grows; a lock wakes the next at once.

    One process alone uses the file (see scheduling/identity.py), so a lock in the process is enough.
    """
    lock = threading.Lock()

    def acquire(connection: sa.Connection, _cursor: object, statement: str, *_: object) -> None:
        if not connection.info.get("writes") and not statement.lstrip().upper().startswith(("SELECT", "PRAGMA")):
            lock.acquire()
            connection.info["writes"] = True

    def release(_: object, record: Any) -> None:
        if record.info.pop("writes", False):
            lock.release()

    sa.event.listen(engine, "before_cursor_execute", acquire)
    sa.event.listen(engine, "checkin", release)


def _tune_sqlite(connection: Any, _: object) -> None:
    # Writers queue up instead of failing, readers never wait, and a commit costs no disk flush: after a power cut the
    # last moments of a job may be missing, and running it again finds its stages done.
    connection.isolation_level = "IMMEDIATE"
    until = time.monotonic() + _BUSY_SECONDS
    for pragma in (f"busy_timeout={_BUSY_SECONDS}000", "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        while True:
            try:
                connection.execute(f"PRAGMA {pragma}")
                break
            except sqlite3.OperationalError:
                # A new file changes its mode for one connection at a time, and does not let the others wait.
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)
