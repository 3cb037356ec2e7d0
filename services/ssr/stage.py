"""The `ssr` stage, compact profile: Casper's result at working resolution, guided by the original frames.

Paper section 3.1 and appendices A and D: the base model is followed by spatial super-resolution. Here the original
frames guide it: what Casper left alone is taken from them, what it changed keeps only the detail that belongs to the
background. Frame by frame, so memory does not grow with the clip.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from services import frames, geometry, tracks
from services.engines import Engine
from services.errors import BadOption
from services.ssr import guide
from services.stage import Params, Stage, Work
from services.weights import file_digest

WEIGHTS = Path(__file__).with_name("compact.onnx")
DEFAULT_LONG_SIDE = 640


class Ssr(Stage):
    """Casper's frames at base resolution -> the same frames at working resolution."""

    name: ClassVar[str] = "ssr"
    version: ClassVar[int] = 1

    def __init__(self, weights: Path = WEIGHTS) -> None:
        self._path = weights
        self._engine: Engine | None = None

    def weights(self) -> str:
        return file_digest(self._path)

    def load(self) -> None:
        if self._engine is None:
            self._engine = Engine(self._path)
            self._engine(np.zeros((1, guide.CHANNELS, 16, 16), np.float32))

    def run(self, work: Work) -> Params:
        """Writes `frames` [T, h, w, 3] float16 0..1 at working resolution.

        Raises BadOption if the clip and Casper's result differ in length, or an option has no such value.
        """
        assert self._engine is not None
        source = work.inputs["video"].array("frames")
        total, native_height, native_width = source.shape[:3]
        height, width = geometry.working_size(native_height, native_width, long_side=_long_side(work.params))
        if work.inputs["casper"].array("frames").shape[0] != total:
            raise BadOption("Casper's result has another number of frames than the clip; run casper on this clip.")

        out = work.draft.array("frames", shape=(total, height, width, 3), dtype="float16")
        for start, stop in frames.chunk_ranges(out):
            part = np.empty((stop - start, height, width, 3), np.float16)
            for t, guides in enumerate(_guides(work, start=start, stop=stop, height=height, width=width)):
                work.check()
                part[t] = sharpen(self._engine, guides)
                work.progress(start + t + 1, total, "frames")
            out[start:stop] = part
        return {"frames": total, "height": height, "width": width}


def sharpen(engine: Engine, guides: NDArray[np.float32]) -> NDArray[np.float16]:
    """One frame [h, w, 3] float16 0..1 from `guide.guide`'s [10, h, w]."""
    height, width = guides.shape[-2:]
    result = engine(guide.padded(guides)[None])[0, :, :height, :width]
    return np.clip(result, 0, 1).transpose(1, 2, 0).astype(np.float16)


def _guides(work: Work, *, start: int, stop: int, height: int, width: int) -> Iterator[NDArray[np.float32]]:
    """The network's input for each frame of [start, stop)."""
    objects = tracks.parse(work.params["objects"])
    keep = _channels([track.label for track in objects], work.params["keep"])
    native = work.inputs["video"].array("frames")[start:stop]
    casper = work.inputs["casper"].array("frames")[start:stop]
    base_height, base_width = casper.shape[1:3]
    masks = tracks.read(objects, work.inputs, start=start, stop=stop)
    for frame, result, mask in zip(native, casper, masks, strict=True):
        yield guide.guide(
            casper=result,
            # From 8 bit and by area, exactly as Casper got it: otherwise rounding would look like a change.
            base=frames.resized(frames.to_bytes(frame[None]), base_height, base_width)[0],
            image=frames.to_float(frames.resized(frame[None], height, width)[0]),
            tri=guide.trimask(mask, keep=keep, height=height, width=width),
        )


def _channels(labels: list[str], keep: list[str]) -> list[int]:
    unknown = [label for label in keep if label not in labels]
    if unknown:
        raise BadOption(f"no object is called {unknown[0]!r}; the objects are {', '.join(labels)}.", field="keep")
    return [labels.index(label) for label in keep]


def _long_side(params: Params) -> int:
    long_side = int(params.get("long_side", DEFAULT_LONG_SIDE))
    if long_side < 16:
        raise BadOption(f"a long side of {long_side} pixels is too small; choose 16 or more.", field="long_side")
    if params.get("profile", "compact") != "compact":
        raise BadOption(f"ssr has no profile {params['profile']!r}; use 'compact'.", field="profile")
    return long_side
