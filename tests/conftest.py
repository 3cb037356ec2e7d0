"""Fixtures that several folders share."""

from pathlib import Path

import pytest

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
