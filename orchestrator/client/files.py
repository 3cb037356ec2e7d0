"""Files on their way to and from a server: what both clients share, and no network.

Must not know: gRPC.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from orchestrator import masks
from orchestrator.api import omnimatte_pb2 as pb
from services.errors import BadInput, BadOption, Internal, NotFound, OmnimatteError, OutOfSpace

CHUNK = 1 << 20
RESUMABLE_BYTES = 16 << 20
"""Files from this size on are sent in a way that survives broken connections."""


@dataclass(frozen=True)
class Source:
    """Something to send.

    Attributes:
        name: what messages call it.
        path: the file; None for other bytes.
        pieces: its bytes, to be read once.
        again: whether `open_source` would give the same bytes again.
    """

    name: str
    path: Path | None
    pieces: Iterable[bytes]
    again: bool


def open_source(source: Path | str | Iterable[bytes], filename: str = "") -> Source:
    """A file, a folder of mask images (as a tar, see orchestrator/masks.py), or bytes.

    Raises:
        NotFound: there is no such file. BadInput: it is empty.
    """
    if not isinstance(source, Path | str):
        # A list can be read twice; what an iterator has given is gone.
        return Source(filename, None, source, again=isinstance(source, Sequence))
    path = Path(source)
    if path.is_dir():
        masks.images(path)
        return Source(filename or f"{path.name}.tar", None, masks.packed(path), again=True)
    if not path.is_file():
        raise NotFound(f"there is no file {path}; check the path.")
    if path.stat().st_size == 0:
        raise BadInput(f"{path} is empty; send a file with content.")
    return Source(filename or path.name, path, read_pieces(path), again=True)


def read_pieces(path: Path, start: int = 0) -> Iterator[bytes]:
    """The file's bytes from `start` on, in pieces."""
    with path.open("rb") as file:
        file.seek(start)
        while piece := file.read(CHUNK):
            yield piece


def digest_of(path: Path) -> str:
    """SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def arriving(out: Path) -> Iterator[Path]:
    """A folder to write to that becomes `out` when the block ends well, and is gone otherwise.

    Raises:
        BadOption: `out` is there and not empty, or cannot be written. OutOfSpace: its disk is full.
    """
    require_empty(out)
    out = out.absolute()
    # A sibling is on the same disk, so the last step is one rename.
    partial = out.parent / f".{out.name}.{uuid.uuid4().hex[:8]}.partial"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
        yield partial
        partial.rename(out)
    except OSError as error:
        raise _writing(error, out) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def require_empty(out: Path) -> None:
    """Raises BadOption if `out` is a file, or a folder with something in it."""
    if out.is_dir() and not any(out.iterdir()):
        return
    if out.exists() or out.is_symlink():
        raise BadOption(
            f"the output folder {out} is there already and not empty; choose another, or add --force to replace it."
        )


def safe_path(folder: Path, path: str) -> Path:
    """Where the file that a server calls `path` belongs below `folder`. Raises Internal if that is outside."""
    parts = PurePosixPath(path).parts
    unsafe = not parts or path.startswith("/") or ".." in parts or "\\" in path or "\0" in path or ":" in parts[0]
    if unsafe:
        raise Internal(f"the server sent a file with the unsafe path {path!r}; nothing was written. Do not trust it.")
    return folder.joinpath(*parts)


class Arrivals:
    """Writes the pieces of files to a folder, in their order; `done` sees that nothing is missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sizes: dict[str, int] = {}
        self._expected: dict[str, int] = {}
        self.received = 0
        """Bytes so far."""

    def put(self, piece: pb.DownloadResponse) -> None:
        target = safe_path(self._folder, piece.path)
        known = piece.path in self._sizes
        if piece.offset != self._sizes.get(piece.path, 0) or (piece.offset == 0 and known):
            raise Internal(f"the server sent {piece.path} out of order; nothing was written. Try again.")
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("ab") as file:
            file.write(piece.chunk)
        self._sizes[piece.path] = piece.offset + len(piece.chunk)
        self._expected[piece.path] = piece.size_bytes
        self.received += len(piece.chunk)

    def done(self) -> None:
        if self._sizes != self._expected:
            raise Internal("the server broke off a file; nothing was written. Try again.")


def reading(error: Exception, name: str) -> OmnimatteError:
    if isinstance(error, OmnimatteError):
        return error
    return BadInput(f"{name} cannot be read ({error}); check the file.")


def _writing(error: OSError, out: Path) -> OmnimatteError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutOfSpace(f"{out}: no space left on its disk; free some, then fetch the results again.")
    return BadOption(f"{out} cannot be written ({error.strerror}); choose another output folder.")
