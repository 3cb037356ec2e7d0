"""A video file as an artifact: every frame, its timing and colour, and the sound.

Must not know: masks, or any decoder.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from services.arrays import ZarrArray
from services.errors import BadVideo
from services.ingest import reading
from services.ingest.answers import Ending, Opening
from services.sandbox.refusing import refusing
from services.sandbox.running import Broken, Sandbox
from services.sandbox.wire import Piece
from services.stage import Params, Work
from services.video.limits import LIMITS, check_length, check_size


def ingest(work: Work, file: BinaryIO, name: str, *, decoders: Sandbox) -> Params:
    """Decode `file` into array "frames" [T, H, W, 3] and, if it has sound, "audio.mka". Raises BadVideo."""
    with tempfile.NamedTemporaryFile(suffix=".mka") as sound:
        pieces = reading.pieces(decoders, "video", [file, sound.file], {"name": name}, check=work.check)
        with refusing(lambda why: BadVideo(f"{name}: {why}")), closing(pieces):
            opening = Opening.of(next(pieces, None))
            check_size(name, width=opening.width, height=opening.height)
            count, last = _store(work, pieces, opening, name)
            ending = Ending.of(last, frames=count)
        if ending.audio is not None:
            work.draft.put("audio.mka", Path(sound.name))
    return {
        "frames": count,
        "height": opening.height,
        "width": opening.width,
        "fps": ending.fps,
        "sample_aspect_ratio": opening.sample_aspect_ratio,
        "bit_depth": opening.bit_depth,
        "audio": ending.audio,
        "timestamps": ending.timestamps,
        "color": opening.color,
    }


def _store(work: Work, pieces: Generator[Piece, None, None], opening: Opening, name: str) -> tuple[int, Piece | None]:
    """Write the frames; returns how many there are, and the piece behind them."""
    shape = (opening.height, opening.width, 3)
    dtype = "uint8" if opening.bit_depth == 8 else "uint16"
    promised = opening.frames or LIMITS.max_frames
    frames = work.draft.array("frames", shape=(promised, *shape), dtype=dtype)
    block: list[NDArray[Any]] = []
    count, last = 0, None
    for piece in pieces:
        if piece.array is None:
            last = piece
            break
        if piece.array.shape != shape or piece.array.dtype != dtype:
            raise Broken("nonsense", f"a frame of {piece.array.dtype} {piece.array.shape}")
        check_length(name, frames=count + len(block) + 1)
        block.append(piece.array)
        if len(block) == frames.chunks[0]:
            count = _flush(work, frames, block, count, promised)
    if block:
        count = _flush(work, frames, block, count, promised)
    if count == 0:
        raise Broken("nonsense", "no frame")
    if count != frames.shape[0]:
        frames.resize((count, *shape))
    return count, last


def _flush(work: Work, frames: ZarrArray, block: list[NDArray[Any]], start: int, promised: int) -> int:
    """Write `block` behind the `start` frames that are there, and empty it; returns how many there are then."""
    work.check()
    done = start + len(block)
    if done > frames.shape[0]:  # The container promised fewer.
        frames.resize((LIMITS.max_frames, *frames.shape[1:]))
    frames[start:done] = np.stack(block)
    block.clear()
    work.progress(done, max(done, promised), "frames")
    return done
