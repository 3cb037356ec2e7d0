"""Fixtures that several folders share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import postgres as postgres_server

# The same examples in every run, on a machine however busy; what they once found is a test of its own.
settings.register_profile("fixed", derandomize=True, deadline=None, database=None)
settings.load_profile("fixed")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_clips() -> Path:
    """Folder of the real clips; tests that want it are skipped where it is not there."""
    clips = ROOT.parent / "shared" / "clips"
    if not clips.is_dir():
        pytest.skip("the real clips are not here")
    return clips


@pytest.fixture(scope="session")
def sample_clip() -> Path:
    """Folder of the bundled clip."""
    return ROOT / "samples" / "still_life"


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgres_server.Postgres]:
    """A PostgreSQL server that all tests share, each with a database of its own."""
    with postgres_server.serving() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new, empty database, of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'orchestrator.sqlite'}"
    server: postgres_server.Postgres = request.getfixturevalue("postgres")
    return server.database()
