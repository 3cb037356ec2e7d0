"""The `depth` stage, compact profile: depth of every frame and of every object (paper appendix D).

Depth orders the layers where several objects overlap. A frame is estimated by itself at base resolution, then smoothed
over time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from services import frames, geometry, tracks
from services.depth import guide
from services.depth.smoothing import median_of_three, smooth_tracks
from services.engines import Engine
from services.errors import BadOption
from services.stage import Params, Stage, Work
from services.weights import file_digest

WEIGHTS = Path(__file__).with_name("compact.onnx")

Floats = NDArray[np.float32]


class Depth(Stage):
    """A clip and its objects -> depth maps and one depth per object and frame, 0 far .. 1 near."""

    name: ClassVar[str] = "depth"
    version: ClassVar[int] = 1

    def __init__(self, weights: Path = WEIGHTS) -> None:
        self._path = weights
        self._engine: Engine | None = None

    def weights(self) -> str:
        return file_digest(self._path)

    def load(self) -> None:
        if self._engine is None:
            self._engine = Engine(self._path)
            self._engine(np.zeros((1, guide.CHANNELS, 32, 32), np.float32))

    def run(self, work: Work) -> Params:
        """Writes `depth` [T, h, w] float16 at base resolution and `objects` [T, N] float32, NaN where unseen.

        Raises BadOption for a profile that does not exist.
        """
        if work.params.get("profile", "compact") != "compact":
            raise BadOption(f"depth has no profile {work.params['profile']!r}; use 'compact'.", field="profile")
        total, native_height, native_width = work.inputs["video"].array("frames").shape[:3]
        height, width = geometry.base_size(native_height, native_width)
        count = len(work.params["objects"])
        objects = np.full((total, count), np.nan, np.float32)
        out = work.draft.array("depth", shape=(total, height, width), dtype="float16")

        maps = median_of_three(self._maps(work, height=height, width=width, objects=objects))
        for start, stop in frames.chunk_ranges(out):
            out[start:stop] = np.stack([next(maps) for _ in range(start, stop)]).astype(np.float16)
        table = work.draft.array("objects", shape=(total, count), dtype="float32", chunk=total)
        table[:] = smooth_tracks(objects)
        return {"frames": total, "height": height, "width": width}

    def _maps(self, work: Work, *, height: int, width: int, objects: Floats) -> Iterator[Floats]:
        """The depth map [h, w] of each frame; fills the frame's row of `objects` [T, N] on the way."""
        assert self._engine is not None
        source = work.inputs["video"].array("frames")
        followed = tracks.parse(work.params["objects"])
        for start, stop in frames.chunk_ranges(source):
            small = frames.resized(frames.to_bytes(source[start:stop]), height, width)
            masks = tracks.read(followed, work.inputs, start=start, stop=stop)
            for t, (frame, mask) in enumerate(zip(frames.to_float(small), masks, strict=True), start):
                work.check()
                own = guide.to_base(mask, height=height, width=width)
                depth = estimate(self._engine, frame, own)
                objects[t] = guide.object_depths(depth, own)
                work.progress(t + 1, len(objects), "frames")
                yield depth


def estimate(engine: Engine, frame: Floats, masks: NDArray[np.uint8]) -> Floats:
    """Depth map [h, w] 0 far .. 1 near of one frame [h, w, 3] 0..1 with object masks [h, w, N], at base resolution."""
    return np.clip(engine(guide.guide(frame, masks)[None])[0, 0], 0, 1)
