"""Colour spaces of clips and deliverables, by OpenColorIO and its built-in ACES configuration.

A clip's space follows its tags: the transfer curve, decoded as a display would (BT.1886's 2.4 for video, which is
also what is assumed of video without a tag; sRGB for pictures), and the primaries; SD primaries count as Rec.709's.
PQ and HLG come out above 1 where they are brighter than 100 cd/m2.
Must not know: files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import PyOpenColorIO as ocio
from numpy.typing import NDArray

Floats = NDArray[Any]  # float32; numpy's stubs widen it at every step
Integers = NDArray[Any]  # uint8 or uint16

CONFIG = "studio-config-v4.0.0_aces-v2.0_ocio-v2.5"
_LINEAR = {"bt2020": "Linear Rec.2020", "display-p3": "Linear P3-D65", "dci-p3": "Linear P3-D65"}
_REC709_LINEAR = "Linear Rec.709 (sRGB)"
_HDR = {"pq": "Rec.2100-PQ - Display", "hlg": "Rec.2100-HLG - Display"}
_GAMMA = {"gamma22": 2.2, "gamma28": 2.8}
_TARGETS = {
    "srgb": "sRGB Encoded Rec.709 (sRGB)",
    "rec709": "Gamma 2.4 Encoded Rec.709",
    "linear": _REC709_LINEAR,
    "acescg": "ACEScg",
}
CHROMATICITIES = {
    "linear": (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290),
    "acescg": (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767),
}
"""xy of red, green, blue and white, as an EXR's header holds them."""


def space_of(color: Mapping[str, Any]) -> str:
    """A clip's colour space in one word: "rec709", "srgb", "linear", or its transfer and primaries, "pq bt2020".

    color: that of an ingested clip's meta (services/video/color.py).
    """
    transfer, primaries = _transfer(color), str(color["primaries"])
    name = "rec709" if transfer == "bt709" else transfer
    return f"{name} {primaries}" if primaries in _LINEAR else name


class Conversion:
    """From a clip's colour space to a target."""

    def __init__(self, color: Mapping[str, Any], target: str) -> None:
        """target: "srgb", "rec709", "linear" or "acescg"."""
        self.identity = target == space_of(color)
        config = ocio.Config.CreateFromBuiltinConfig(CONFIG)
        steps = ocio.GroupTransform(_decoded(color, _TARGETS[target]))
        self._there = config.getProcessor(steps).getDefaultCPUProcessor()
        back = config.getProcessor(steps, ocio.TRANSFORM_DIR_INVERSE)
        self._back = back.getDefaultCPUProcessor()

    def values(self, image: Integers, *, peak: int) -> NDArray[np.float32]:
        """Codes [H, W, 3] of 0..peak in the target space, float32; above 1 where the source is."""
        color = np.ascontiguousarray(image[..., :3], dtype=np.float32) / np.float32(peak)
        if color.size:
            self._there.applyRGB(color)
        return color

    def inverse(self, values: Floats) -> NDArray[np.float32]:
        """Values [H, W, 3] of the target space in the clip's own, 0..1 where the clip can hold them."""
        color = np.ascontiguousarray(values, dtype=np.float32).copy()
        if color.size:
            self._back.applyRGB(color)
        return color

    def codes(self, image: Integers, *, peak: int) -> Integers:
        """`image` [H, W, 3 or 4] in the target space, of its own integer type; alpha stays as it is."""
        if self.identity:
            return image
        result = image.copy()
        values: Floats = np.clip(self.values(image, peak=peak), 0.0, 1.0)
        result[..., :3] = np.rint(values * np.float32(peak)).astype(image.dtype)
        if image.shape[2] == 4:
            result[..., :3][image[..., 3] == 0] = 0
        return result


def _transfer(color: Mapping[str, Any]) -> str:
    transfer = str(color["transfer"])
    if transfer in ("srgb", "linear", *_HDR, *_GAMMA):
        return transfer
    if transfer == "unknown" and color["matrix"] == "rgb":
        return "srgb"
    return "bt709"


def _decoded(color: Mapping[str, Any], target: str) -> list[Any]:
    transfer = _transfer(color)
    if transfer in _HDR:
        return [ocio.ColorSpaceTransform(src=_HDR[transfer], dst=target)]
    curve: list[Any] = []
    if transfer == "srgb":
        curve = [ocio.ExponentWithLinearTransform(gamma=[2.4, 2.4, 2.4, 1], offset=[0.055, 0.055, 0.055, 0])]
    elif transfer != "linear":
        gamma = _GAMMA.get(transfer, 2.4)
        curve = [ocio.ExponentTransform(value=[gamma, gamma, gamma, 1])]
    linear = _LINEAR.get(str(color["primaries"]), _REC709_LINEAR)
    return [*curve, ocio.ColorSpaceTransform(src=linear, dst=target)]
