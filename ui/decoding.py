"""Decodes a clip for looking at it. It runs in a confined process only, and is reached by name (`clip.py`).

Must not know: what is shown of it, or where.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

import cv2
import numpy as np

from services.sandbox.wire import Piece
from services.video.source import Source, open_container
from services.video.warm import warm

QUALITY = 90


def prepare() -> None:
    """Import what would be imported at the first use: a confined process can open no file."""
    warm()
    cv2.setNumThreads(0)


def shown(files: Sequence[BinaryIO], *, name: str, long_side: int) -> Iterator[Piece]:
    """One piece of facts, then a JPEG per frame, `long_side` pixels long, as an array of its bytes.

    Raises BadVideo.
    """
    (upload,) = files
    with open_container(upload, name) as container:
        source = Source(container, name)
        facts = source.facts
        scale = long_side / max(facts.width, facts.height)
        size = max(1, round(facts.width * scale)), max(1, round(facts.height * scale))
        yield Piece({"frames": facts.frames, "height": facts.height, "width": facts.width})
        for picture in source.pictures():
            pixels = (picture.pixels >> 8).astype(np.uint8) if picture.pixels.dtype == np.uint16 else picture.pixels
            how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
            small = pixels if scale == 1 else cv2.resize(pixels, size, interpolation=how)
            written, coded = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
            assert written
            yield Piece(array=np.asarray(coded, np.uint8).reshape(-1))
