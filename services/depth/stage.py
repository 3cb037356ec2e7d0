"""The `depth` stage: depth of every frame and of every object (paper appendix D).

Depth orders the layers where several objects overlap. In the compact profile a frame is estimated by itself at base
resolution, then smoothed over time; the production profile is in `large/`. In both, where objects touch, their depths
follow what can be seen of who hides whom.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from services import frames, geometry, tracks
from services.artifacts import digest
from services.depth import crossings, guide
from services.depth.large.estimator import DepthEstimator
from services.depth.large.models import MODEL_VARIABLE, LargeModel, configured
from services.depth.large.writing import write_depth
from services.depth.smoothing import median_of_three, smooth_tracks
from services.engine_stage import EngineStage
from services.engines import Engine
from services.errors import BadOption
from services.stage import Params, Work
from services.trimask import scaled

WEIGHTS = Path(__file__).with_name("compact.onnx")

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


class Depth(EngineStage):
    """A clip and its objects -> depth maps and one depth per object and frame, 0 far .. 1 near."""

    name: ClassVar[str] = "depth"
    version: ClassVar[int] = 2

    def __init__(self, weights: Path = WEIGHTS, *, large: LargeModel | None = None) -> None:
        """large: the production profile's model; by default the one that the settings name, if any."""
        super().__init__(weights, warm_up=(1, guide.CHANNELS, 32, 32))
        self._large = large or configured()
        self._estimator: DepthEstimator | None = None

    def weights(self) -> str:
        """Of both profiles, because the address is made before it is known which one runs."""
        compact = super().weights()
        return compact if self._large is None else digest(f"{compact} {self._large.digest()}")

    def load(self) -> None:
        super().load()
        if self._large is not None and self._estimator is None:
            self._estimator = self._large.load()

    def run(self, work: Work) -> Params:
        """Writes `depth` [T, h, w] float16 at base resolution and `objects` [T, N] float32, NaN where unseen.

        Raises BadOption for a profile that does not exist.
        """
        profile = work.params.get("profile", "compact")
        if profile == "production" and self._estimator is not None:
            return write_depth(work, self._estimator)
        if profile != "compact":
            raise BadOption(
                f"depth has no profile {profile!r} here; use 'compact', or 'production' where {MODEL_VARIABLE} "
                "names a model.",
                field="profile",
            )
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
                depth = estimate(self.engine, frame, own)
                masks[t] = own
                objects[t] = guide.object_depths(depth, own)
                work.progress(t + 1, len(objects), "frames")
                yield depth


def estimate(engine: Engine, frame: Floats, masks: NDArray[np.uint8]) -> Floats:
    """Depth map [h, w] 0 far .. 1 near of one frame [h, w, 3] 0..1 with object masks [h, w, N], at base resolution."""
    return np.clip(engine(guide.guide(frame, masks)[None])[0, 0], 0, 1)
