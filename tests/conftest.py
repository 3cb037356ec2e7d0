"""Fixtures that several folders share."""

from pathlib import Path

import pytest
from hypothesis import settings

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
