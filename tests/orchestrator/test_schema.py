"""How a database comes to have the tables, also one that an earlier version made."""

from __future__ import annotations

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from orchestrator import opening, schema
from orchestrator.db import Database
from orchestrator.records import JobState, NewEvent
from orchestrator.spec import from_dict
from services.errors import Conflict, NotFound

SOURCE, MASK, KEPT = "a" * 64, "b" * 64, "c" * 64
SPEC = from_dict(
    {
        "source": {"digest": SOURCE},
        "objects": [{"label": "vase", "mask": {"digest": MASK}}],
        "preserve": {"digest": KEPT},
    }
)

FIRST = """
CREATE TABLE jobs (
    id VARCHAR(32) NOT NULL, request_id VARCHAR(128), spec TEXT NOT NULL, spec_digest VARCHAR(64) NOT NULL,
    state VARCHAR(16) NOT NULL, created FLOAT NOT NULL, started FLOAT, ended FLOAT, error TEXT NOT NULL,
    result VARCHAR(64) NOT NULL, sequence BIGINT NOT NULL, PRIMARY KEY (id), UNIQUE (request_id)
);
CREATE INDEX ix_jobs_state ON jobs (state);
CREATE INDEX ix_jobs_result ON jobs (result);
CREATE TABLE job_events (
    job VARCHAR(32) NOT NULL, sequence BIGINT NOT NULL, time FLOAT NOT NULL, replaces VARCHAR(64) NOT NULL,
    body TEXT NOT NULL, PRIMARY KEY (job, sequence), FOREIGN KEY(job) REFERENCES jobs (id) ON DELETE CASCADE
);
"""
"""The tables of the version without tenants."""


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A database of that version, with a queued job and one that has ended."""
    path = tmp_path / "orchestrator.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(FIRST)
        for number, state in ((1, "succeeded"), (2, "queued")):
            row = (f"{number:032}", f"request {number}", SPEC.to_json(), SPEC.digest(), state, 5.0 + number, "", "", 2)
            connection.execute(
                "INSERT INTO jobs (id, request_id, spec, spec_digest, state, created, error, result, sequence) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
            for sequence in (1, 2):
                body = json.dumps({"job": {"state": "queued"}})
                connection.execute("INSERT INTO job_events VALUES (?, ?, 6.0, '', ?)", (row[0], sequence, body))
    connection.close()
    return path


def url(path: Path) -> str:
    return f"sqlite:///{path}"


def dump(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        lines = list(connection.iterdump())
    connection.close()
    return lines


def test_a_database_without_tenants_becomes_the_local_tenants(first: Path) -> None:
    database = Database(url(first))
    ended, queued = f"{1:032}", f"{2:032}"
    assert [job.id for job in database.page(tenant="local", size=9)] == [queued, ended]
    assert database.page(tenant="other", size=9) == []
    assert database.owned(ended, tenant="local").spec == SPEC
    with pytest.raises(NotFound):
        database.owned(ended, tenant="other")
    assert [event.sequence for event in database.events(queued, tenant="local", after=0)] == [1, 2]
    assert database.events(queued, tenant="other", after=0) == []
    assert all(database.owns_upload(digest, tenant="local") for digest in (SOURCE, MASK, KEPT))
    assert not database.owns_upload(SOURCE, tenant="other")
    # It goes on working: numbers of events, request ids, foreign keys.
    assert database.create(SPEC, tenant="local", request_id="request 2")[0].id == queued
    assert database.create(SPEC, tenant="other", request_id="request 2")[1]
    assert database.advance(queued, JobState.RUNNING, among=[JobState.QUEUED])
    assert database.events(queued, tenant="local", after=2)[0].sequence == 3
    database.delete(queued)
    database.append(queued, [NewEvent({"node": 1})])
    assert [job.id for job in database.page(tenant="local", size=9)] == [ended]
    database.close()
    Database(url(first)).close()


def test_an_upgraded_database_has_the_tables_of_a_new_one(first: Path, tmp_path: Path) -> None:
    def tables(path: Path) -> dict[str, object]:
        engine = opening.opened(url(path))
        inspector = sa.inspect(engine)
        found = {
            name: (
                [(column["name"], str(column["type"]), column["nullable"]) for column in inspector.get_columns(name)],
                sorted(str(index["name"]) for index in inspector.get_indexes(name)),
                [key["referred_table"] for key in inspector.get_foreign_keys(name)],
                inspector.get_unique_constraints(name),
            )
            for name in inspector.get_table_names()
        }
        engine.dispose()
        return found

    assert tables(first) == tables(tmp_path / "new.sqlite")


def test_an_upgrade_that_fails_changes_nothing(first: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = dump(first)

    def broken(_: object) -> None:
        raise RuntimeError("the power went out")

    with monkeypatch.context() as patched:
        patched.setattr(opening, "_digests", broken)
        with pytest.raises(RuntimeError, match="power"):
            opening.opened(url(first))
    assert dump(first) == before
    opening.opened(url(first)).dispose()


@pytest.mark.parametrize(("number", "words"), [(schema.SCHEMA + 1, "newer version"), (0, "upgrades SQLite from 1")])
def test_other_schemas_are_refused_and_left_alone(number: int, words: str, tmp_path: Path) -> None:
    path = tmp_path / "orchestrator.sqlite"
    opening.opened(url(path)).dispose()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE omnimatte_schema SET number = ?", (number,))
    connection.close()
    before = dump(path)
    with pytest.raises(Conflict, match=words):
        Database(url(path))
    assert dump(path) == before


@pytest.mark.parametrize("old", [True, False])
def test_many_may_open_a_database_at_once(old: bool, first: Path, tmp_path: Path) -> None:
    path = first if old else tmp_path / "new.sqlite"
    with ThreadPoolExecutor(6) as pool:
        for engine in list(pool.map(lambda _: opening.opened(url(path)), range(6))):
            engine.dispose()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT number FROM omnimatte_schema").fetchall() == [(schema.SCHEMA,)]
    connection.close()
