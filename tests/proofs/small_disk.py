"""A disk of its own that is soon full."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class NoDisk(Exception):
    """This machine lets us mount nothing."""


@contextmanager
def small_disk(*, megabytes: int) -> Iterator[Path]:
    """A folder on a file system of that size. Raises NoDisk where none can be mounted."""
    with tempfile.TemporaryDirectory(prefix="disk-") as folder:
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "omnimatte-proof", folder]
        mounted = subprocess.run(command, capture_output=True, check=False)
        if mounted.returncode != 0:
            raise NoDisk(mounted.stderr.decode().strip())
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)
