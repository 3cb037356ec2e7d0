"""Layers from working resolution to the clip's: edges follow the input picture where it explains them.

The fast guided filter (He & Sun 2015): within small windows alpha is a linear function of the picture, fitted at the
low resolution and applied at the high one. It is believed only as far as the fit explains the alpha, and only where
alpha has an edge; elsewhere, and for everything but alpha, enlargement is bilinear.

Measured on ragged discs with strands before textures, 1080p from 640 columns: mean error of alpha along edges 24.8
codes bilinear, 6.8 to 17.3 guided (by how much object and ground differ), over the frame 1.09 and 0.51 to 0.89; 0.03 s
a layer and frame on one core.
Must not know: what is done with the result.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]  # float32; numpy's stubs widen it at every step

WORTH = 1.2
"""Enlargement from which on the picture is asked."""
_RADIUS = 2
_EPSILON = 1e-4
_EDGE = 2e-3
"""Variance of alpha in a window, of an edge that is asked about."""


def enlarged(image: Floats, *, width: int, height: int) -> Floats:
    """`image` [h, w, C] at [height, width, C], bilinear; as it is if it has that size."""
    if image.shape[:2] == (height, width):
        return image
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.float32).reshape(height, width, -1)


def guided(alpha: Floats, guide: Floats) -> Floats:
    """`alpha` [h, w, 1] 0..1 at the size of `guide` [H, W, 3] 0..1, its edges where the guide has them.

    Stays 0 where nothing of the layer is near, and 1 deep inside.
    """
    height, width = guide.shape[:2]
    plain = enlarged(alpha, width=width, height=height)
    h, w = alpha.shape[:2]
    if max(height / h, width / w) < WORTH:
        return plain
    box = _around_edges(alpha)
    if box is None:
        return plain
    x0, y0, x1, y1 = box
    rows = slice(round(y0 * height / h), round(y1 * height / h))
    columns = slice(round(x0 * width / w), round(x1 * width / w))
    size = (columns.stop - columns.start, rows.stop - rows.start)
    low_alpha = np.ascontiguousarray(alpha[y0:y1, x0:x1, 0])
    high = np.ascontiguousarray(guide[rows, columns])
    low = np.asarray(cv2.resize(high, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA))
    slope, offset, belief = _fit(low_alpha, low)
    slope, offset, belief = (
        np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_LINEAR)) for part in (slope, offset, belief)
    )
    follows = np.clip(np.einsum("hwc,hwc->hw", slope, high) + offset, 0.0, 1.0)
    result = plain.copy()
    under = result[rows, columns, 0]
    under += belief * (follows - under)
    return result


def _fit(alpha: Floats, guide: Floats) -> tuple[Floats, Floats, Floats]:
    """Slope [h, w, 3] and offset [h, w] of alpha over the guide in every window, and how far to believe them [h, w]."""

    def mean(values: Floats) -> Floats:
        side = 2 * _RADIUS + 1
        return np.asarray(cv2.boxFilter(values, -1, (side, side), borderType=cv2.BORDER_REPLICATE))

    average, center = mean(guide), mean(alpha)
    together = mean(guide * alpha[..., None]) - average * center[..., None]
    r, g, b = (guide[..., i] for i in range(3))
    mr, mg, mb = (average[..., i] for i in range(3))
    xx, yy, zz = (mean(v * v) - m * m + np.float32(_EPSILON) for v, m in ((r, mr), (g, mg), (b, mb)))
    xy, xz, yz = mean(r * g) - mr * mg, mean(r * b) - mr * mb, mean(g * b) - mg * mb
    # The inverse of the symmetric 3x3 covariance, written out.
    ixx, iyy, izz = yy * zz - yz * yz, xx * zz - xz * xz, xx * yy - xy * xy
    ixy, ixz, iyz = xz * yz - xy * zz, xy * yz - xz * yy, xy * xz - xx * yz
    scale = np.maximum(xx * ixx + xy * ixy + xz * ixz, np.float32(1e-14))
    cr, cg, cb = (together[..., i] for i in range(3))
    slope = np.stack(
        [
            (ixx * cr + ixy * cg + ixz * cb) / scale,
            (ixy * cr + iyy * cg + iyz * cb) / scale,
            (ixz * cr + iyz * cg + izz * cb) / scale,
        ],
        axis=-1,
    )
    offset = center - np.einsum("hwc,hwc->hw", slope, average)
    spread = np.maximum(mean(alpha * alpha) - center * center, 0.0)
    explained = np.clip(np.einsum("hwc,hwc->hw", slope, together) / np.maximum(spread, np.float32(1e-6)), 0.0, 1.0)
    edge = np.clip(spread / np.float32(_EDGE), 0.0, 1.0)
    belief = np.clip((explained - 0.5) * 2, 0.0, 1.0) * edge
    return mean(slope), mean(offset), belief


def _around_edges(alpha: Floats) -> tuple[int, int, int, int] | None:
    """The box [x0, y0, x1, y1) around everything that is seen, with room for the windows; None if nothing is."""
    h, w = alpha.shape[:2]
    x, y, width, height = cv2.boundingRect((alpha[..., 0] > 0).astype(np.uint8))
    if not width:
        return None
    room = 2 * _RADIUS + 1
    return max(0, x - room), max(0, y - room), min(w, x + width + room), min(h, y + height + room)
