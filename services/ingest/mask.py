"""A mask file as an artifact: one object's coverage in every frame, 0 or 255.

A mask comes as a video, as an uncompressed tar of images (one per frame), or as one image, which then holds for every
frame. A pixel belongs to the object where the brightest of its channels reaches half (128), or, in a file with real
transparency, where alpha does.
Must not know: other objects, how masks are used, or any decoder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import BinaryIO

import numpy as np

from services.arrays import Content, ZarrArray
from services.errors import BadMask
from services.ingest import reading
from services.ingest.coverage import Mask
from services.sandbox.refusing import refusing
from services.sandbox.running import Broken, Sandbox
from services.sandbox.wire import Piece
from services.stage import Params, Work

THRESHOLD = 128


def ingest(work: Work, file: BinaryIO, name: str, *, label: str, decoders: Sandbox) -> Params:
    """Decode `file` into array "masks" [T, H, W, 1], as many frames and pixels as input `video`. Raises BadMask."""
    meta = work.inputs["video"].meta
    count, height, width = int(meta["frames"]), int(meta["height"]), int(meta["width"])
    subject = f"the mask of {label!r} ({name})"
    masks = work.draft.array("masks", shape=(count, height, width, 1), dtype="uint8", content=Content.COVERAGE)
    pieces = reading.pieces(decoders, "mask", [file], {"name": name, "subject": subject}, check=work.check)
    with refusing(lambda why: BadMask(f"{subject} cannot be read: {why}", field="mask")), closing(pieces):
        done, covered, brightest = _store(work, masks, pieces, subject=subject)
    if done != count:
        raise BadMask(
            f"{subject} has {done} {_plural(done)}, the video {count}; give one mask per frame, or a single image"
            " for all frames.",
            field="mask",
        )
    if covered == 0:
        raise BadMask(
            f"{subject} marks no pixel: its brightest value is {brightest} of 255, and the object must be at"
            f" {THRESHOLD} or above; paint the object white on black.",
            field="mask",
        )
    return {"frames": count, "height": height, "width": width, "coverage": covered / (count * height * width)}


def _store(work: Work, masks: ZarrArray, pieces: Iterable[Piece], *, subject: str) -> tuple[int, int, int]:
    """Write the frames; returns how many there are, how many pixels they mark, and their brightest value."""
    count, height, width, _ = masks.shape
    block: list[Mask] = []
    done, covered, brightest = 0, 0, 0
    for values in _frames(pieces, count=count):
        if values.shape != (height, width):
            raise BadMask(
                f"{subject} is {values.shape[1]}x{values.shape[0]}, the video {width}x{height};"
                " give a mask of the video's size.",
                field="mask",
            )
        done += 1
        if done > count:
            continue  # Only counted, for the message.
        brightest = max(brightest, int(values.max()))
        block.append(np.where(values >= THRESHOLD, 255, 0).astype(np.uint8)[..., None])
        if len(block) == masks.chunks[0] or done == count:
            work.check()
            masks[done - len(block) : done] = np.stack(block)
            covered += int(np.count_nonzero(block))
            block.clear()
            work.progress(done, count, "frames")
    return done, covered, brightest


def _frames(pieces: Iterable[Piece], *, count: int) -> Iterator[Mask]:
    """The values [H, W] uint8 of each mask frame."""
    for piece in pieces:
        values = piece.array
        if values is None or values.ndim != 2 or values.dtype != np.uint8:
            raise Broken("nonsense", "no coverage")
        for _ in range(count if piece.facts.get("still") else 1):
            yield values


def _plural(count: int) -> str:
    return "frame" if count == 1 else "frames"
