"""The orchestrator's tables, and how a database comes to have them: made, checked by a schema number, upgraded.

The workflow engine keeps tables of its own beside these.
Must not know: what the rows mean to anybody. Blocking: call it from a thread.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from services.errors import BadOption, Conflict, Unavailable

SCHEMA = 2
"""Number of the tables below. 1 had no tenants, no replicas, no number, and request ids that were unique over all."""

METADATA = sa.MetaData()

_NUMBER = sa.Table("omnimatte_schema", METADATA, sa.Column("number", sa.Integer, primary_key=True))

JOBS = sa.Table(
    "jobs",
    METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("tenant", sa.String(63), nullable=False),
    sa.Column("request_id", sa.String(128), nullable=True),
    sa.Column("spec", sa.Text, nullable=False),
    sa.Column("spec_digest", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("started", sa.Float, nullable=True),
    sa.Column("ended", sa.Float, nullable=True),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("result", sa.String(64), nullable=False, index=True),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    # How it queues (orchestrator/timing.py), and what it costs the tenant's share.
    sa.Column("line", sa.String(16), nullable=False, server_default="interactive"),
    sa.Column("priority", sa.Integer, nullable=False, server_default="0"),
    sa.Column("deadline", sa.Float, nullable=True),
    sa.Column("cost", sa.Float, nullable=False, server_default="1"),
    # Who runs it, and for the how manieth time somebody has begun to: the fence that an outdated runner meets.
    sa.Column("executor", sa.String(63), nullable=False, server_default=""),
    sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
    sa.Column("failures", sa.Text, nullable=False, server_default="[]"),
    # The call that created it, as W3C Trace Context writes it: every attempt goes on with its trace.
    sa.Column("trace", sa.String(64), nullable=False, server_default=""),
    sa.UniqueConstraint("tenant", "request_id", name="jobs_request"),
    sa.Index("ix_jobs_tenant", "tenant", "id"),
    sa.Index("ix_jobs_queue", "state", "tenant", "line", "priority", "id"),
    sa.Index("ix_jobs_deadline", "state", "deadline"),
    sa.Index("ix_jobs_executor", "executor", "state"),
)

# How far each tenant's share of the queue is used up; the row "" is the queue's own clock. See scheduling/policy.py.
SHARES = sa.Table(
    "queue_shares",
    METADATA,
    sa.Column("tenant", sa.String(63), primary_key=True),
    sa.Column("served", sa.Float, nullable=False),
)

# Who runs jobs. Silence is measured by the database's clock.
REPLICAS = sa.Table(
    "replicas",
    METADATA,
    sa.Column("id", sa.String(63), primary_key=True),
    sa.Column("incarnation", sa.String(32), nullable=False),
    sa.Column("places", sa.Integer, nullable=False),
    sa.Column("started", sa.Float, nullable=False),
    sa.Column("seen", sa.Float, nullable=False),
)

EVENTS = sa.Table(
    "job_events",
    METADATA,
    sa.Column("job", sa.String(32), sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True),
    sa.Column("tenant", sa.String(63), nullable=False),
    sa.Column("time", sa.Float, nullable=False),
    sa.Column("replaces", sa.String(64), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)

# The store keeps equal bytes once, whoever sent them. Only who has sent them may use them.
UPLOADS = sa.Table(
    "uploads",
    METADATA,
    sa.Column("tenant", sa.String(63), primary_key=True),
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("created", sa.Float, nullable=False),
)

# Files on their way in, and those of their pieces that count.
UPLOAD_SESSIONS = sa.Table(
    "upload_sessions",
    METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("tenant", sa.String(63), nullable=False),
    sa.Column("filename", sa.String(255), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("received", sa.BigInteger, nullable=False),
    sa.Column("complete", sa.Boolean, nullable=False),
    sa.Column("expires", sa.Float, nullable=False, index=True),
    sa.Column("holder", sa.String(32), nullable=False),
    sa.Index("ix_upload_sessions_tenant", "tenant", "digest"),
)

UPLOAD_PIECES = sa.Table(
    "upload_pieces",
    METADATA,
    sa.Column("session", sa.String(32), primary_key=True),
    sa.Column("offset", sa.BigInteger, primary_key=True),
    sa.Column("path", sa.String(255), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
)

API_KEYS = sa.Table(
    "api_keys",
    METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("tenant", sa.String(63), nullable=False, index=True),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("expires", sa.Float, nullable=True),
    sa.Column("revoked", sa.Float, nullable=True),
)

# What lies in the store; the row is also the lock that its users and its deleters meet at, see references.py.
ARTIFACTS = sa.Table(
    "store_artifacts",
    METADATA,
    sa.Column("address", sa.String(64), primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("used", sa.Float, nullable=False),
    sa.Column("doomed", sa.Float, nullable=True, index=True),
    sa.Column("token", sa.String(32), nullable=False),
)

REFERENCES = sa.Table(
    "store_references",
    METADATA,
    sa.Column("job", sa.String(32), primary_key=True),
    sa.Column("address", sa.String(64), primary_key=True, index=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("made", sa.Float, nullable=False),
)

OWNER = sa.Table(
    "store_owner",
    METADATA,
    sa.Column("one", sa.Integer, primary_key=True),
    sa.Column("id", sa.String(32), nullable=False),
    sa.Column("collected", sa.Float, nullable=False),
)

# Keys that the servers of this database share; no caller ever sees one.
SECRETS = sa.Table(
    "server_secrets",
    METADATA,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("value", sa.String(64), nullable=False),
    sa.Column("made", sa.Float, nullable=False),
)

# What stage runs have taken; see orchestrator/estimate/ledger.py.
STAGE_RUNS = sa.Table(
    "stage_runs",
    METADATA,
    sa.Column("address", sa.String(64), primary_key=True),
    sa.Column("request", sa.String(64), nullable=False, index=True),
    sa.Column("kind", sa.String(160), nullable=False),
    sa.Column("generation", sa.String(64), nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("units", sa.Float, nullable=False),
    sa.Column("made", sa.Float, nullable=False),
    sa.Index("ix_stage_runs_kind", "kind", "made"),
)

# Keys of PostgreSQL's advisory locks: who changes tables, who takes jobs from the queue, who looks for silent replicas,
# who begins an upload (with a second key for the tenant).
_LOCK, QUEUE_LOCK, SWEEP_LOCK, UPLOAD_LOCK = 0x6F6D6E69, 0x6F6D6E6A, 0x6F6D6E6B, 0x6F6D6E6C


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


def inserted_or_kept(connection: sa.Connection, table: sa.Table, row: Mapping[str, Any]) -> sa.Executable:
    """What inserts the row, or leaves the one that has its key as it is."""
    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    return kind.insert(table).values(**row).on_conflict_do_nothing()


def now(connection: sa.Connection) -> float:
    """Seconds since the epoch by one clock for all replicas: the database server's, or this machine's with SQLite."""
    if connection.dialect.name == "sqlite":
        return time.time()
    return float(connection.execute(sa.text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())


def _lock(connection: sa.Connection) -> None:
    """Keep others from preparing the same database until the transaction ends."""
    if connection.dialect.name == "sqlite":
        # Its driver begins no transaction for changes of tables, so half an upgrade could stay.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))


def _prepare(connection: sa.Connection) -> None:
    number = _number(connection)
    if number is None:
        METADATA.create_all(connection)
        connection.execute(_NUMBER.insert().values(number=SCHEMA))
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
    if inspector.has_table(_NUMBER.name):
        return int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(_NUMBER.c.number), 0))).scalar_one())
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
    connection.execute(_NUMBER.insert().values(number=SCHEMA))


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
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=30000", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
