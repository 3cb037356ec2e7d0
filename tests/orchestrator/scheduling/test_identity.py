"""One name, one live process; one SQLite file, one orchestrator; no replica without a name of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.opening import opened
from orchestrator.scheduling import identity as module
from orchestrator.scheduling.identity import identity
from orchestrator.settings import Settings
from services.errors import BadOption, Conflict

ROOT = Path(__file__).resolve().parents[3]

HOLD = """
import sys, time
from orchestrator.scheduling.identity import identity
from orchestrator.opening import opened
with identity(opened(sys.argv[1]), "pod-0"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_name_belongs_to_one_process_and_is_free_when_that_is_killed(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.5)
    holder = subprocess.Popen([sys.executable, "-c", HOLD, database_url], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    engine = opened(database_url)
    try:
        with pytest.raises(Conflict, match="another orchestrator"), identity(engine, "pod-0"):
            pass
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 10.0)
    with identity(engine, "pod-0"):
        pass
    engine.dispose()


def test_replicas_of_different_names_share_postgresql_but_not_sqlite(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.2)
    one, two = opened(database_url), opened(database_url)
    with identity(one, "pod-0"):
        if one.dialect.name == "postgresql":
            with identity(two, "pod-1"):
                pass
        else:
            with pytest.raises(Conflict, match="PostgreSQL"), identity(two, "pod-1"):
                pass
    one.dispose()
    two.dispose()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"replicas": 2}, "cannot share a SQLite"),
        ({"database_url": "postgresql+psycopg://host/db"}, "--executor-id"),
        ({"database_url": "postgresql+psycopg://host/db", "executor_id": "pod 0"}, "cannot be used"),
        ({"executor_id": "x" * 64}, "cannot be used"),
    ],
)
def test_settings_that_would_lose_jobs_are_refused(changes: dict[str, object], text: str) -> None:
    settings = Settings(**{"store": "s", "database_url": "sqlite:///x", **changes})  # type: ignore[arg-type]
    with pytest.raises(BadOption, match=text):
        settings.require_identity()


def test_settings_for_several_replicas_on_postgresql_are_taken() -> None:
    Settings(
        store="s", database_url="postgresql+psycopg://host/db", executor_id="omnimatte-0", replicas=3
    ).require_identity()
