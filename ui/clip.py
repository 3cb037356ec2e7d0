"""The loaded clip's frames, small enough to look at, on disk.

What somebody sent is decoded in a confined process (`decoding.py`, which is named here and never imported); what comes
back are JPEGs of a size of our choice.
Must not know: Gradio, or what is marked in the frames.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from services.errors import BadVideo, NotFound
from services.sandbox.allowance import Allowance
from services.sandbox.refusing import refusing
from services.sandbox.running import Broken, Sandbox
from services.sandbox.wire import Piece
from services.video.limits import check_length, check_size
from ui.session import Clip

LONG_SIDE = 960
"""Pixels along a shown frame; small clips are enlarged, because the page shows no picture larger than it is."""
_JOB = "ui.decoding:shown"
_JPEG_BYTES = 8 << 20


def reader() -> Sandbox:
    """The confined decoders; for all sessions together."""
    return Sandbox((_JOB,), allowance=Allowance(array=_JPEG_BYTES))


def open_clip(path: Path, name: str, *, decoders: Sandbox, root: Path) -> tuple[Clip, int]:
    """The clip in the file `path` with its first frame ready, and how many frames it claims to have (0: unknown).

    Raises BadVideo, with a sentence for who sent it.
    """
    name = " ".join(name.split())[-80:] or "the clip"
    with closing(_pieces(path, name, decoders)) as pieces:
        facts = _facts(next(pieces, None), name)
        frames, height, width = facts
        first = next(pieces, None)
        if first is None:
            raise BadVideo(f"{name}: there is no frame in it; export it again.")
    folder = Path(tempfile.mkdtemp(prefix="clip-", dir=root))
    scale = LONG_SIDE / max(height, width)
    clip = Clip(path=path, name=name, folder=folder, height=height, width=width, scale=scale)
    (folder / "frames").mkdir()
    _store(clip, 0, first)
    return clip, frames


def read_frames(clip: Clip, *, decoders: Sandbox) -> Iterator[int]:
    """Make every frame ready; gives how many are, from time to time and at the end. Raises BadVideo."""
    count = 0
    with closing(_pieces(clip.path, clip.name, decoders)) as pieces:
        next(pieces, None)
        for piece in pieces:
            check_length(clip.name, frames=count + 1)
            _store(clip, count, piece)
            count += 1
            if count % 25 == 0:
                yield count
    yield count


def frame(clip: Clip, index: int) -> NDArray[np.uint8]:
    """[h, w, 3] RGB, `clip.scale` times the clip's size. Raises NotFound for a frame that is not ready (yet)."""
    path = _path(clip, index)
    image = cv2.imread(str(path)) if path.is_file() else None
    if image is None:
        raise NotFound(f"frame {index} is not read yet; wait a moment and choose it again.")
    return np.ascontiguousarray(image[..., ::-1]).astype(np.uint8, copy=False)


def forget(clip: Clip | None) -> None:
    """Remove what was kept of the clip."""
    if clip is not None:
        shutil.rmtree(clip.folder, ignore_errors=True)


def _pieces(path: Path, name: str, decoders: Sandbox) -> Generator[Piece, None, None]:
    with refusing(lambda why: BadVideo(f"{name}: {why}")), path.open("rb") as file:
        if path.stat().st_size == 0:
            raise BadVideo(f"{name}: the file is empty; send the video again.")
        yield from decoders.run(_JOB, [file], {"name": name, "long_side": LONG_SIDE})


def _facts(piece: Piece | None, name: str) -> tuple[int, int, int]:
    values = [] if piece is None else [piece.facts.get(key) for key in ("frames", "height", "width")]
    if len(values) != 3 or not all(type(value) is int and value >= 0 for value in values):
        raise Broken("nonsense", "facts that are none")
    frames, height, width = (int(str(value)) for value in values)
    check_size(name, width=width, height=height)
    check_length(name, frames=frames)
    return frames, height, width


def _store(clip: Clip, index: int, piece: Piece) -> None:
    if piece.array is None or piece.array.dtype != np.uint8 or piece.array.ndim != 1:
        raise Broken("nonsense", "a frame that is none")
    path = _path(clip, index)
    partial = path.with_suffix(".partial")
    partial.write_bytes(piece.array.tobytes())
    partial.rename(path)


def _path(clip: Clip, index: int) -> Path:
    return clip.folder / "frames" / f"{index:05d}.jpg"
