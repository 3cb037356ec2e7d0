"""Compact depth as a model of the `depth` stage: frame by frame at base resolution, then smoothed over time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from services import frames, geometry, tracks
from services.depth import crossings, guide
from services.depth.smoothing import median_of_three, smooth_tracks
from services.engines import Network, OpenNetwork, open_here
from services.model_stage import Model
from services.stage import Params, Work
from services.trimask import scaled
from services.weights import file_digest

WEIGHTS = Path(__file__).with_name("compact.onnx")

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


class CompactModel(Model):
    """The network in the file `weights`."""

    def __init__(self, weights: Path = WEIGHTS, *, open_network: OpenNetwork = open_here) -> None:
        self._path = weights
        self._open = open_network
        self._network: Network | None = None

    def weights(self) -> str:
        return file_digest(self._path)

    def load(self, params: Params) -> None:
        if self._network is None:
            self._network = self._open("depth", self._path)

    def run(self, work: Work) -> Params:
        """Writes `depth` [T, h, w] float16 at base resolution and `objects` [T, N] float32, NaN where unseen."""
        assert self._network is not None
        total, native_height, native_width = work.inputs["video"].array("frames").shape[:3]
        height, width = geometry.base_size(native_height, native_width)
        count = len(work.params["objects"])
        objects = np.full((total, count), np.nan, np.float32)
        out = work.draft.array("depth", shape=(total, height, width), dtype="float16")

        greys = np.zeros((total, height, width), np.uint8)
        masks = np.zeros((total, height, width, count), np.uint8)
        maps = median_of_three(self._maps(work, greys=greys, masks=masks, objects=objects))
        for start, stop in frames.chunk_ranges(out):
            out[start:stop] = np.stack([next(maps) for _ in range(start, stop)]).astype(np.float16)
        table = work.draft.array("objects", shape=(total, count), dtype="float32", chunk=total)
        table[:] = crossings.settled(smooth_tracks(objects), greys, masks)
        return {"frames": total, "height": height, "width": width}

    def _maps(self, work: Work, *, greys: Bytes, masks: Bytes, objects: Floats) -> Iterator[Floats]:
        """The depth map [h, w] of each frame; fills the frame's part of `greys`, `masks` and `objects` on the way."""
        assert self._network is not None
        height, width = greys.shape[1:]
        source = work.inputs["video"].array("frames")
        followed = tracks.parse(work.params["objects"])
        for start, stop in frames.chunk_ranges(source):
            small = frames.resized(frames.to_bytes(source[start:stop]), height, width)
            found = tracks.read(followed, work.inputs, start=start, stop=stop)
            for t, (frame, mask) in enumerate(zip(frames.to_float(small), found, strict=True), start):
                work.check()
                greys[t] = cv2.cvtColor(small[t - start], cv2.COLOR_RGB2GRAY)
                own = scaled(mask, height=height, width=width)
                depth = estimate(self._network, frame, own)
                masks[t] = own
                objects[t] = guide.object_depths(depth, own)
                work.progress(t + 1, len(objects), "frames")
                yield depth


def estimate(network: Network, frame: Floats, masks: NDArray[np.uint8]) -> Floats:
    """Depth map [h, w] 0 far .. 1 near of one frame [h, w, 3] 0..1 with object masks [h, w, N], at base resolution."""
    return np.clip(network(guide.guide(frame, masks)[None])[0, 0], 0, 1)
