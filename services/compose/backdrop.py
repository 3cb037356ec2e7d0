"""Decodes what a user sent as a background. It runs in a confined process only, and is reached by name (`grounds.py`).

Must not know: artifacts, or what becomes of the frames.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.errors import BadInput
from services.sandbox.wire import Piece
from services.video.limits import LIMITS, check_size
from services.video.source import Source, open_container
from services.video.warm import warm

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")


def prepare() -> None:
    """Import what would be imported at the first use."""
    warm()
    cv2.setNumThreads(0)


def frames(files: Sequence[BinaryIO], *, name: str, kind: str, width: int, height: int, most: int) -> Iterator[Piece]:
    """At most `most` frames, [height, width, 3] uint8, scaled until they cover the frame; kind: "image" or "video".

    Raises BadInput, BadVideo.
    """
    (upload,) = files
    if kind == "image":
        yield Piece(array=covering(_image(upload, name), width=width, height=height))
        return
    with open_container(upload, name) as container:
        for index, picture in enumerate(Source(container, name).pictures()):
            if index >= most:
                return
            pixels = picture.pixels
            shallow = pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)
            yield Piece(array=covering(shallow, width=width, height=height))


def covering(image: NDArray[Any], *, width: int, height: int) -> NDArray[np.uint8]:
    """`image` [h, w, 3] scaled until it covers `width` x `height`, its middle."""
    h, w = image.shape[:2]
    scale = max(width / w, height / h)
    size = (max(width, round(w * scale)), max(height, round(h * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    large = np.asarray(cv2.resize(image[..., :3], size, interpolation=how), dtype=np.uint8)
    x, y = (size[0] - width) // 2, (size[1] - height) // 2
    return np.ascontiguousarray(large[y : y + height, x : x + width])


def _image(file: BinaryIO, name: str) -> NDArray[Any]:
    data = file.read(LIMITS.max_image_bytes + 1)
    if len(data) > LIMITS.max_image_bytes:
        raise BadInput(f"{name} has more than {LIMITS.max_image_bytes >> 20} MiB; give a smaller picture.")
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            check_size(name, width=image.width, height=image.height)
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadInput(
            f"{name} is no picture that can be read; give a PNG or JPEG.", field="background.image"
        ) from error
