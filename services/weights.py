"""Where the shipped weights are, and their digests."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=64)
def file_digest(path: Path) -> str:
    """SHA-256 of the file at `path`, 64 hex digits; read once per process."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
