"""The whole of an object that was partly hidden: its mask, segmented anew on its solo video.

In the input another object may stand in front; in the solo video that is gone. Points are drawn on the frame where the
mask shows most of the object, the object is tracked from there through the solo video, and what is found is united with
the mask that was given (Generative Omnimatte, section 4). The reference draws its 20 points at random; here they
are the same for the same mask. Must not know: artifacts, alpha, who asks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from services.errors import BadMask
from services.sam21.prompts import Prompt
from services.sam21.segmenter import Segmenter
from services.sam21.tracking import FrameSource, track

Array = NDArray[np.float32]
Byte = NDArray[np.uint8]
POINTS = 20


class MaskSource(Protocol):
    """The masks of one object: `.shape` (T, H, W), the object where they are not 0, and `masks[t]`."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, t: int, /) -> Any: ...


def resegment(
    solo: FrameSource,
    masks: MaskSource,
    *,
    segmenter: Segmenter,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Byte:
    """The object's masks with what the solo video shows of it in addition.

    Args:
        solo: the video with this object alone, [T, H, W, 3] uint8 or uint16.
        masks: what is known of the object, [T, H, W].

    Returns:
        [T, H, W] uint8 0 or 255; all 0 if `masks` is empty on every frame.

    Raises:
        BadMask: the masks do not fit the video.
        Cancelled: `cancelled` said so.
    """
    if tuple(masks.shape) != tuple(solo.shape[:3]):
        raise BadMask(f"the masks are {masks.shape} and their solo video {solo.shape[:3]}; make both from one clip.")
    united = np.stack([np.where(np.asarray(masks[t]) != 0, 255, 0).astype(np.uint8) for t in range(masks.shape[0])])
    prompts = drawn(united)
    if prompts:
        found = track(
            solo, prompts, labels=["object"], segmenter=segmenter, on_progress=on_progress, cancelled=cancelled
        )
        for t, mask in found:
            united[t] |= mask[..., 0]
    return united


def completed(
    solo: Array,
    own: Array,
    *,
    segmenter: Segmenter,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Array:
    """`own` with the parts of the object that others hid: coverage of its whole mask, of a clip at base resolution.

    `solo` is [T, h, w, 3] float32 0..1, `own` [T, h, w] float32 0..1; so is the result, nowhere less than `own`.
    """
    frames = np.clip(solo * 255 + 0.5, 0, 255).astype(np.uint8)
    found = resegment(frames, own > 0.5, segmenter=segmenter, on_progress=on_progress, cancelled=cancelled)
    return np.maximum(own, (found > 0).astype(np.float32))


def drawn(masks: Byte) -> list[Prompt]:
    """At most POINTS distinct positive points, evenly through the inside of the largest of the masks [T, H, W].

    No prompts if all masks are empty. The earliest frame counts where several are the largest.
    """
    areas = [int(np.count_nonzero(mask)) for mask in masks]
    t = int(np.argmax(areas)) if areas else 0
    if not areas or areas[t] == 0:
        return []
    present = (masks[t] != 0).astype(np.uint8)
    # The outline is the least certain part of a mask.
    inside = cv2.erode(present, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    rows, columns = np.nonzero(inside if inside.any() else present)
    picked = np.unique(np.linspace(0, len(rows) - 1, POINTS).round().astype(int))
    return [Prompt(object=0, frame=t, point=(float(columns[i]), float(rows[i]))) for i in picked]
