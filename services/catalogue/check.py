"""Whether a file is the one that the catalogue means: size, digest, tensors.

Must not know: where the file comes from, or where it shall lie.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from services.catalogue.entry import Entry, WeightFile
from services.catalogue.header import read_header
from services.catalogue.home import Seen
from services.errors import BadInput

Advance = Callable[[int], None]
"""Called with the bytes done since the last call."""

_BLOCK = 2**20


def nothing(_: int) -> None:
    """Progress that nobody watches."""


def checked(
    path: Path, entry: Entry, file: WeightFile, *, known: Seen | None = None, advance: Advance = nothing
) -> Seen:
    """What to record of the file at `path`, which was read whole.

    known: an earlier record, whose digest counts where none is published.
    Raises BadInput if it is not the `file` of `entry`: by size, digest, or the first tensor that does not fit.
    """
    size = path.stat().st_size
    if not file.least <= size <= file.limit:
        bounds = f"{file.size:,}" if file.size is not None else f"from {file.least:,} to {file.limit:,}"
        raise BadInput(
            f"{path} is not {file.path} of {entry.title}: it has {size:,} bytes instead of {bounds}; get it again."
        )
    if file.layout is not None:
        wrong = file.layout.mismatch({name: tensor.shape for name, tensor in read_header(path).items()})
        if wrong:
            raise BadInput(f"{path} is not {entry.title}: {wrong}; get the right file.")
    digest = sha256(path, advance=advance)
    wanted = file.sha256 or (known.sha256 if known and known.sha256 else None)
    if wanted not in (None, digest):
        said = "published" if file.sha256 else f"seen on {known.checked[:10]}" if known else ""
        raise BadInput(
            f"{path} is not {file.path} of {entry.title}: its SHA-256 is {digest}, {said} is {wanted}; get it again."
        )
    return Seen(size=size, sha256=digest, checked=now())


def sha256(path: Path, *, advance: Advance = nothing) -> str:
    """SHA-256 of the file at `path`, 64 hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            advance(len(block))
    return digest.hexdigest()


def now() -> str:
    """The time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
