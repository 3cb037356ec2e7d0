"""How much of each pixel of a mask file is object.

Must not know: how the file is read.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]


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
