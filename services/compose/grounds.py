"""Pictures and videos of the user's that replace the background. They are as untrusted as any upload.

Must not know: layers.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.compose.delivery import Delivery
from services.compose.files import Files, read
from services.compose.pictures import Integers, MovieFile, Pictures, Still, decoded, spooled
from services.errors import BadInput
from services.video.limits import check_size

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")


@dataclass(frozen=True)
class Covering:
    """Pictures scaled to cover the clip's frame, what stands over cut off; a shorter video begins again."""

    inner: Pictures
    width: int
    height: int
    frames: int

    def read(self, index: int) -> Integers:
        return covering(self.inner.read(index % self.inner.frames), width=self.width, height=self.height)


def from_bytes(files: Files, path: str, *, kind: str, delivery: Delivery, folder: Path) -> Pictures:
    """The background of `delivery`'s size and length in the file `path`; kind: "image" or "video".

    Raises BadInput, BadVideo for what cannot be read or is too large.
    """
    if kind == "image":
        image = covering(_image(read(files, path), path), width=delivery.width, height=delivery.height)
        return Still(image, delivery.frames)
    with spooled(files, path) as file:
        frames = sum(1 for _ in decoded(file, path, alpha=False))
    if not frames:
        raise BadInput(f"{path} has no frames; give another background.", field="background.video")
    matrix = str(delivery.content["color"]["matrix"])
    movie = MovieFile(files, path, frames, False, matrix, 255, folder)
    return Covering(movie, delivery.width, delivery.height, delivery.frames)


def covering(image: Integers, *, width: int, height: int) -> NDArray[np.uint8]:
    """`image` [h, w, 3] scaled until it covers `width` x `height`, its middle."""
    h, w = image.shape[:2]
    scale = max(width / w, height / h)
    size = (max(width, round(w * scale)), max(height, round(h * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    large = np.asarray(cv2.resize(image[..., :3], size, interpolation=how), dtype=np.uint8)
    x, y = (size[0] - width) // 2, (size[1] - height) // 2
    return np.ascontiguousarray(large[y : y + height, x : x + width])


def _image(data: bytes, name: str) -> NDArray[Any]:
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            check_size(name, width=image.width, height=image.height)
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadInput(
            f"{name} is no picture that can be read; give a PNG or JPEG.", field="background.image"
        ) from error
