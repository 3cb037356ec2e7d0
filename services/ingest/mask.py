"""A mask file as an artifact: one object's coverage in every frame, 0 or 255.

A mask comes as a video, as an uncompressed tar of images (one per frame), or as one image, which then holds for every
frame. A pixel belongs to the object where the brightest of its channels reaches half (128), or, in a file with real
transparency, where alpha does.
Must not know: other objects, or how masks are used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from services.errors import BadMask, BadVideo
from services.ingest import images
from services.stage import Params, Work
from services.video.source import Source, open_container

THRESHOLD = 128
Mask = NDArray[np.uint8]


def ingest(work: Work, file: BinaryIO, name: str, *, label: str) -> Params:
    """Decode `file` into array "masks" [T, H, W, 1], as many frames and pixels as input `video`. Raises BadMask."""
    meta = work.inputs["video"].meta
    count, height, width = int(meta["frames"]), int(meta["height"]), int(meta["width"])
    subject = f"the mask of {label!r} ({name})"
    masks = work.draft.array("masks", shape=(count, height, width, 1), dtype="uint8")
    block: list[Mask] = []
    done, covered, brightest = 0, 0, 0
    for values in _frames(file, name, subject=subject, count=count):
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


def _frames(file: BinaryIO, name: str, *, subject: str, count: int) -> Iterator[Mask]:
    """The values [H, W] uint8 of each mask frame."""
    head = file.read(512)
    file.seek(0)
    if not head:
        raise BadMask(f"{subject} is an empty file; send it again.", field="mask")
    try:
        if images.is_tar(head):
            for still in images.stills_in_tar(file):
                yield coverage(still.pixels)
        elif images.is_image(head):
            values = coverage(images.decode(file.read(), name).pixels)
            for _ in range(count):
                yield values
        else:
            yield from _video_frames(file, name)
    except images.BadImage as error:
        raise BadMask(f"{subject} cannot be read: {error}; export it again.", field="mask") from error
    except BadVideo as error:
        raise BadMask(f"{subject} cannot be read: {error.message}", field="mask") from error


def _video_frames(file: BinaryIO, name: str) -> Iterator[Mask]:
    with open_container(file, name) as container:
        for picture in Source(container, name, alpha=True).pictures():
            deep = picture.pixels.dtype == np.uint16
            pixels = (picture.pixels >> 8).astype(np.uint8) if deep else picture.pixels.astype(np.uint8, copy=False)
            if picture.alpha is not None:
                pixels = np.concatenate([pixels, picture.alpha[..., None]], axis=-1)
            yield coverage(pixels)


def coverage(pixels: NDArray[np.uint8]) -> Mask:
    """How much of each pixel is object, [H, W] uint8: alpha where it varies, else the brightest colour channel.

    pixels: [H, W, C]; C = 2 and 4 end in alpha. An opaque alpha channel says nothing and is passed over.
    """
    colors = pixels
    if pixels.shape[-1] in (2, 4):
        alpha = pixels[..., -1]
        if alpha.min() < 255:
            return alpha
        colors = pixels[..., :-1]
    brightest: Mask = colors.max(axis=-1)
    return brightest


def _plural(count: int) -> str:
    return "frame" if count == 1 else "frames"
