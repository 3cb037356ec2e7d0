"""From a large model's disparities to what the `depth` stage writes: the same arrays as the compact profile's.

Two passes: the model's disparities go to disk while it is seen how far they reach; then they become 0 far .. 1 near,
and objects' depths are read from them.
Must not know: which model.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from services import frames, geometry, tracks
from services.depth import crossings, guide
from services.depth.large.estimator import DepthEstimator, Size, StoredClip, Watch
from services.depth.large.span import Ends, Shelf, Span
from services.depth.smoothing import smooth_tracks
from services.errors import Internal
from services.stage import Params, Work
from services.trimask import scaled

Floats = NDArray[np.float32]


def write_depth(work: Work, estimator: DepthEstimator) -> Params:
    """Write `depth` [T, h, w] float16 at base resolution and `objects` [T, N] float32, NaN where unseen."""
    clip = StoredClip(work.inputs["video"].array("frames"))
    total, native_height, native_width = clip.shape
    size = Size(*geometry.base_size(native_height, native_width))
    shelf = Shelf(total, size)
    span = _estimated(work, estimator, clip, size=size, shelf=shelf)

    out = work.draft.array("depth", shape=(total, size.height, size.width), dtype="float16")
    objects = _written(work, out, shelf=shelf, span=span)
    table = work.draft.array("objects", shape=objects.shape, dtype="float32", chunk=total)
    table[:] = objects
    return {"frames": total, "height": size.height, "width": size.width}


def _estimated(work: Work, estimator: DepthEstimator, clip: StoredClip, *, size: Size, shelf: Shelf) -> Span:
    """Fill `shelf`; returns how far the disparities reach. Raises Internal for what is not a number."""
    ends = Ends(whole=estimator.whole_range)
    watch = Watch(check=work.check, progress=work.progress)
    for first, disparity in estimator.estimate(clip, size=size, watch=watch):
        work.check()
        if not np.isfinite(disparity).all():
            raise Internal(f"the depth model gave no numbers from frame {first} on; check its weights and precision.")
        shelf.put(first, disparity)
        ends.add(disparity)
    return ends.span()


def _written(work: Work, out: Any, *, shelf: Shelf, span: Span) -> Floats:
    """Write the maps; returns the objects' depths [T, N]."""
    source = work.inputs["video"].array("frames")
    followed = tracks.parse(work.params["objects"])
    total, height, width = out.shape
    objects = np.full((total, len(followed)), np.nan, np.float32)
    greys = np.zeros((total, height, width), np.uint8)
    masks = np.zeros((total, height, width, len(followed)), np.uint8)
    for start, stop in frames.chunk_ranges(source):
        work.check()
        small = frames.resized(frames.to_bytes(source[start:stop]), height, width)
        found = tracks.read(followed, work.inputs, start=start, stop=stop)
        for t, depth in enumerate(span.apply(shelf.get(start, stop)), start):
            greys[t] = cv2.cvtColor(small[t - start], cv2.COLOR_RGB2GRAY)
            masks[t] = scaled(found[t - start], height=height, width=width)
            objects[t] = guide.object_depths(depth, masks[t])
    for start, stop in frames.chunk_ranges(out):
        out[start:stop] = span.apply(shelf.get(start, stop)).astype(np.float16)
    return crossings.settled(smooth_tracks(objects), greys, masks)
