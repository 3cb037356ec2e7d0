"""The orchestrator's tables. The workflow engine keeps tables of its own beside these.

Must not know: what the rows mean to anybody, or how a database comes to have them (opening.py).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

SCHEMA = 2
"""Number of the tables below. 1 had no tenants, no replicas, no number, and request ids that were unique over all."""

METADATA = sa.MetaData()

NUMBER = sa.Table("omnimatte_schema", METADATA, sa.Column("number", sa.Integer, primary_key=True))

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
TABLES_LOCK, QUEUE_LOCK, SWEEP_LOCK, UPLOAD_LOCK = 0x6F6D6E69, 0x6F6D6E6A, 0x6F6D6E6B, 0x6F6D6E6C


def inserted_or_kept(connection: sa.Connection, table: sa.Table, row: Mapping[str, Any]) -> sa.Executable:
    """What inserts the row, or leaves the one that has its key as it is."""
    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    return kind.insert(table).values(**row).on_conflict_do_nothing()


def now(connection: sa.Connection) -> float:
    """Seconds since the epoch by one clock for all replicas: the database server's, or this machine's with SQLite."""
    if connection.dialect.name == "sqlite":
        return time.time()
    return float(connection.execute(sa.text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
