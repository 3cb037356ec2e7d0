"""Everything that decodes what users sent. It runs in a confined process only, and is reached by name (`reading.py`).

    video(files)   the upload and an empty file for its sound -> facts, then each frame, then timing and sound
    mask(files)    the upload -> each frame's coverage

Must not know: artifacts, or what becomes of the frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import BinaryIO

import numpy as np

from services.errors import BadMask, BadVideo
from services.ingest import images
from services.ingest.coverage import coverage
from services.sandbox.wire import Piece
from services.video import audio, timing
from services.video.limits import check_length
from services.video.source import Source, open_container
from services.video.warm import warm


def prepare() -> None:
    """Import what would be imported at the first use: a confined process can open no file."""
    warm()


def video(files: Sequence[BinaryIO], *, name: str) -> Iterator[Piece]:
    """One piece of facts; one per frame, [H, W, 3] uint8 or uint16; one with "fps", "timestamps" and "audio".

    The sound, if there is any, is in the second file then. Raises BadVideo.
    """
    upload, sound_file = files
    with open_container(upload, name) as container:
        source = Source(container, name)
        facts = source.facts
        yield Piece(
            {
                "frames": facts.frames,
                "height": facts.height,
                "width": facts.width,
                "bit_depth": facts.bit_depth,
                "sample_aspect_ratio": timing.fraction_text(Fraction(facts.sample_aspect_ratio)),
                "color": facts.color.to_json(),
            }
        )
        pts: list[int | None] = []
        for picture in source.pictures():
            pts.append(picture.pts)
            yield Piece(array=picture.pixels)
    timeline = timing.measure(pts, time_base=facts.time_base, hints=facts.rates)
    check_length(name, seconds=float(timeline.seconds(len(pts) - 1)))
    sound = audio.extract(upload, name, sound_file, origin=(pts[0] or 0) * facts.time_base)
    yield Piece(
        {
            "fps": timing.fraction_text(timeline.fps),
            "timestamps": timeline.to_json(),
            "audio": sound.to_json() if sound else None,
        }
    )


def mask(files: Sequence[BinaryIO], *, name: str, subject: str) -> Iterator[Piece]:
    """One piece per frame, its coverage [H, W] uint8; a single image comes with the fact "still". Raises BadMask."""
    (upload,) = files
    head = upload.read(512)
    upload.seek(0)
    if not head:
        raise BadMask(f"{subject} is an empty file; send it again.", field="mask")
    try:
        if images.is_tar(head):
            for still in images.stills_in_tar(upload):
                yield Piece(array=coverage(still.pixels))
        elif images.is_image(head):
            yield Piece({"still": True}, coverage(images.decode_file(upload, name).pixels))
        else:
            yield from _mask_video(upload, name)
    except images.BadImage as error:
        raise BadMask(f"{subject} cannot be read: {error}; export it again.", field="mask") from error
    except BadVideo as error:
        raise BadMask(f"{subject} cannot be read: {error.message}", field="mask") from error


def _mask_video(file: BinaryIO, name: str) -> Iterator[Piece]:
    with open_container(file, name) as container:
        for picture in Source(container, name, alpha=True).pictures():
            deep = picture.pixels.dtype == np.uint16
            pixels = (picture.pixels >> 8).astype(np.uint8) if deep else picture.pixels.astype(np.uint8, copy=False)
            if picture.alpha is not None:
                pixels = np.concatenate([pixels, picture.alpha[..., None]], axis=-1)
            yield Piece(array=coverage(pixels))
