"""A tiny CogVideoX Casper."""

from pathlib import Path

import pytest

from services.casper.cogvideox.tiny import write_tiny


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("cogvideox"))
