"""Single pictures as bytes: PNG and OpenEXR, both ways.

Must not know: what they show.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import OpenEXR
from numpy.typing import NDArray

from services.colorspace import CHROMATICITIES
from services.errors import BadInput, Internal

Integers = NDArray[Any]  # uint8 or uint16

_COMPRESSION = {
    "zip": OpenEXR.ZIP_COMPRESSION,
    "piz": OpenEXR.PIZ_COMPRESSION,
    "dwaa": OpenEXR.DWAA_COMPRESSION,
}


@dataclass(frozen=True)
class ExrHeader:
    """What an EXR says of its pixels.

    Attributes:
        space: scene-linear space, "linear" or "acescg".
        compression: "zip" and "piz" lose nothing; "dwaa" is small and loses what one hardly sees.
        pixel_aspect: width over height of a pixel.
        comments: for people.
    """

    space: str = "linear"
    compression: str = "zip"
    pixel_aspect: float = 1.0
    comments: str = ""


def png(image: Integers) -> bytes:
    """`image` [H, W], or [H, W, 3 or 4] RGB(A), as a PNG of its own depth.

    With OpenCV's own choice of filter and strategy: as small as the lowest level that one may ask for (which tries all
    filters), in half the time.
    """
    if image.ndim == 3:
        image = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR))
    done, data = cv2.imencode(".png", image)
    if not done:
        raise Internal("a frame could not be written as PNG; please report this.")
    return bytes(data)


def with_bits(image: Integers, bits: int) -> Integers:
    """`image` in 8 or 16 bits; as it is if it has them already, or `bits` is 0."""
    if bits in (0, image.dtype.itemsize * 8):
        return image
    if bits == 16:
        return image.astype(np.uint16) * np.uint16(257)
    return np.rint(image / np.float32(257)).astype(np.uint8)


def read_png(data: bytes, name: str) -> Integers:
    """A PNG as [H, W], [H, W, 3] or [H, W, 4] RGB(A), uint8 or uint16. Raises BadInput naming `name`."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if image is None:
        raise BadInput(f"{name} is no PNG, or is damaged; deliver it again.")
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB)
    return np.asarray(image)


def exr(channels: Mapping[str, NDArray[np.float16]], header: ExrHeader) -> bytes:
    """Layers [H, W, 4] by name ("RGBA": the unnamed one) as an OpenEXR file, data window and display window alike."""
    height, width = next(iter(channels.values())).shape[:2]
    window = (np.zeros(2, np.int32), np.array([width - 1, height - 1], np.int32))
    attributes: dict[str, Any] = {
        "compression": _COMPRESSION[header.compression],
        "type": OpenEXR.scanlineimage,
        "dataWindow": window,
        "displayWindow": window,
        "pixelAspectRatio": header.pixel_aspect,
        "chromaticities": CHROMATICITIES[header.space],
        "comments": header.comments,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.exr"
        OpenEXR.File(attributes, dict(channels)).write(str(path))
        return path.read_bytes()


def read_exr(data: bytes, name: str) -> dict[str, NDArray[np.float32]]:
    """The layers of an OpenEXR file, [H, W, 3 or 4] float32 by name. Raises BadInput naming `name`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.exr"
        path.write_bytes(data)
        try:
            channels = OpenEXR.File(str(path)).channels()
        except Exception as error:  # The binding raises what its library throws.
            raise BadInput(f"{name} is no OpenEXR file, or is damaged; deliver it again.") from error
        return {key: np.asarray(channel.pixels, dtype=np.float32) for key, channel in channels.items()}


def half(values: NDArray[Any]) -> NDArray[np.float16]:
    """The nearest half floats; what is beyond their range takes its end, since infinities spread when filtered."""
    return np.clip(values, -65504.0, 65504.0).astype(np.float16)
