"""Colour: which matrix and range a frame is coded in, and its exact RGB.

Tags in the stream decide; where there are none, the convention of players does: BT.709 from 720 lines or 1280
columns up, BT.601 below, and limited range. RGB comes out in the source's own transfer curve and primaries,
full range.
Must not know: containers, or who reads the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation
from numpy.typing import NDArray

# Numbers of ISO/IEC 23091-2 (H.273), which streams carry.
_MATRIX = {0: "rgb", 1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
_TRANSFER = {1: "bt709", 4: "gamma22", 5: "gamma28", 6: "bt709", 7: "smpte240m", 8: "linear", 13: "srgb"}
_TRANSFER |= {14: "bt709", 15: "bt709", 16: "pq", 18: "hlg"}
_PRIMARIES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020", 11: "dci-p3", 12: "display-p3"}
PRIMARIES_TAGS = {name: tag for tag, name in reversed(_PRIMARIES.items())}
TRANSFER_TAGS = {name: tag for tag, name in reversed(_TRANSFER.items())}
"""The lowest number of each name."""
_SWS_MATRIX = {"bt709": 1, "fcc": 4, "bt601": 5, "smpte240m": 7, "bt2020": 9}
_LUMA = {  # (Kr, Kb)
    "bt709": (0.2126, 0.0722),
    "bt601": (0.299, 0.114),
    "fcc": (0.30, 0.11),
    "smpte240m": (0.212, 0.087),
    "bt2020": (0.2627, 0.0593),
}
_EXACT = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.BITEXACT
)


@dataclass(frozen=True)
class Color:
    """How a clip's pixels are coded.

    Attributes:
        matrix: "bt601", "bt709", "bt2020", "smpte240m", "fcc", or "rgb".
        full_range: whether luma spans all codes rather than 16..235 (scaled to the depth).
        primaries, transfer: names, "unknown" where the stream says nothing.
        tagged: whether the stream named its matrix.
    """

    matrix: str
    full_range: bool
    primaries: str = "unknown"
    transfer: str = "unknown"
    tagged: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "matrix": self.matrix,
            "range": "full" if self.full_range else "limited",
            "primaries": self.primaries,
            "transfer": self.transfer,
            "tagged": self.tagged,
        }


def depth_of(pixel_format: av.VideoFormat) -> int:
    """Bits per component of a pixel format; a palette counts as the 8 bit colours that it holds."""
    return 8 if pixel_format.has_palette else max(component.bits for component in pixel_format.components)


def describe(frame: av.VideoFrame) -> Color:
    """The colour coding of `frame`: its tags, and the convention for those that are missing."""
    is_rgb = frame.format.is_rgb or frame.format.has_palette
    tag = _MATRIX.get(int(frame.colorspace))
    by_size = "bt709" if max(frame.height, frame.width * 9 // 16) >= 720 else "bt601"
    matrix = "rgb" if is_rgb else (by_size if tag in (None, "rgb") else str(tag))
    full = is_rgb or frame.format.name.startswith("yuvj") or int(frame.color_range) == int(ColorRange.JPEG)
    return Color(
        matrix=matrix,
        full_range=full,
        primaries=_PRIMARIES.get(int(frame.color_primaries), "unknown"),
        transfer=_TRANSFER.get(int(frame.color_trc), "unknown"),
        tagged=is_rgb or tag is not None,
    )


def to_rgb(frame: av.VideoFrame, color: Color) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """RGB of `frame`: [H, W, 3], uint8 for 8 bit sources and uint16 (0..65535) for deeper ones."""
    deep = depth_of(frame.format) > 8
    if deep and color.matrix != "rgb" and len(frame.format.components) >= 3:
        return _deep_rgb(frame, color)
    rgb: NDArray[Any] = _reformat(frame, color, "rgb48le" if deep else "rgb24", full_out=True).to_ndarray()
    return rgb


ALPHA_THREADS = 1
"""To convert a frame with alpha: where its width is no multiple of 16, the scaler's threads write a few pixels beyond
their rows, into those of the next thread."""


def has_alpha(frame: av.VideoFrame) -> bool:
    return any(component.is_alpha for component in frame.format.components)


def alpha_of(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """The alpha plane of `frame` as [H, W] uint8; call only when `has_alpha`."""
    return np.asarray(frame.reformat(format="rgba", threads=ALPHA_THREADS).to_ndarray())[..., 3].astype(np.uint8)


def _reformat(frame: av.VideoFrame, color: Color, pixel_format: str, *, full_out: bool) -> av.VideoFrame:
    matrix = _SWS_MATRIX.get(color.matrix, 1)
    source = ColorRange.JPEG if color.full_range else ColorRange.MPEG
    return frame.reformat(
        format=pixel_format,
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=int(source),
        dst_color_range=int(ColorRange.JPEG if full_out else source),
        interpolation=_EXACT,
    )


def _deep_rgb(frame: av.VideoFrame, color: Color) -> NDArray[np.uint16]:
    # The scaler's own 16 bit RGB ends at 65280 instead of 65535, so it only brings the planes to full
    # resolution here.
    bits = depth_of(frame.format)
    planes = _reformat(frame, color, "yuv444p16le", full_out=False).to_ndarray().astype(np.float32)
    kr, kb = _LUMA[color.matrix]
    unit = float(1 << 8)
    if color.full_range:
        top = float(((1 << bits) - 1) << (16 - bits))
        luma, chroma = planes[..., 0] / top, (planes[..., 1:] - 128 * unit) / top
    else:
        luma, chroma = (planes[..., 0] - 16 * unit) / (219 * unit), (planes[..., 1:] - 128 * unit) / (224 * unit)
    red = luma + 2 * (1 - kr) * chroma[..., 1]
    blue = luma + 2 * (1 - kb) * chroma[..., 0]
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    rgb = np.stack([red, green, blue], axis=-1)
    coded: NDArray[np.uint16] = np.rint(np.clip(rgb, 0.0, 1.0) * 65535).astype(np.uint16)
    return coded
