"""The `ssr` stage: Casper's result at working resolution, guided by the original frames.

Paper section 3.1 and appendices A and D: the base model is followed by spatial super-resolution. Here the original
frames guide it: what Casper left alone is taken from them, what it changed keeps only the detail that belongs to the
background, and what lay behind a removed object takes its detail from the plate where Casper agrees with it. Frame by
frame, so memory does not grow with the clip.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from services import frames, geometry, tracks
from services.engine_stage import EngineStage
from services.engines import Network, OpenNetwork, open_here
from services.errors import BadOption
from services.ssr import guide
from services.stage import Params, Work
from services.trimask import REMOVE, scaled, trimask

WEIGHTS = Path(__file__).with_name("compact.onnx")


class Ssr(EngineStage):
    """Casper's frames at base resolution -> the same frames at working resolution."""

    name: ClassVar[str] = "ssr"
    version: ClassVar[int] = 2

    def __init__(self, weights: Path = WEIGHTS, *, open_network: OpenNetwork = open_here) -> None:
        super().__init__(weights, open_network=open_network)

    def run(self, work: Work) -> Params:
        """Writes `frames` [T, h, w, 3] float16 0..1 at working resolution.

        Raises BadOption if the clip and Casper's result differ in length, or an option has no such value.
        """
        source = work.inputs["video"].array("frames")
        total, native_height, native_width = source.shape[:3]
        height, width = geometry.working_size(native_height, native_width, long_side=geometry.long_side_of(work.params))
        if work.inputs["plate"].array("frames").shape != (total, height, width, 3):
            raise BadOption("the plate has another size; run the plate stage on this clip with the same long side.")
        if work.inputs["casper"].array("frames").shape[0] != total:
            raise BadOption("Casper's result has another number of frames than the clip; run casper on this clip.")

        out = work.draft.array("frames", shape=(total, height, width, 3), dtype="float16")
        for start, stop in frames.chunk_ranges(out):
            part = np.empty((stop - start, height, width, 3), np.float16)
            for t, shown in enumerate(_shown(work, start=start, stop=stop, height=height, width=width)):
                work.check()
                part[t] = sharpen(self.network, shown.guides)
                if shown.preserved is not None:
                    part[t][shown.preserved] = shown.image[shown.preserved]
                work.progress(start + t + 1, total, "frames")
            out[start:stop] = part
        return {"frames": total, "height": height, "width": width}


@dataclass(frozen=True)
class _Shown:
    """guides: the network's input. image: [h, w, 3], the original. preserved: [h, w] bool, to be copied from it."""

    guides: NDArray[np.float32]
    image: NDArray[np.float32]
    preserved: NDArray[np.bool_] | None


def sharpen(network: Network, guides: NDArray[np.float32]) -> NDArray[np.float16]:
    """One frame [h, w, 3] float16 0..1 from `guide.guide`'s [CHANNELS, h, w]."""
    height, width = guides.shape[-2:]
    result = network(guide.padded(guides)[None])[0, :, :height, :width]
    return np.clip(result, 0, 1).transpose(1, 2, 0).astype(np.float16)


def _shown(work: Work, *, start: int, stop: int, height: int, width: int) -> Iterator[_Shown]:
    """What is known of each frame of [start, stop)."""
    objects = tracks.parse(work.params["objects"])
    keep = _channels([track.label for track in objects], work.params["keep"])
    native = work.inputs["video"].array("frames")[start:stop]
    casper = work.inputs["casper"].array("frames")[start:stop]
    plate = work.inputs["plate"]
    rgb, seen = (plate.array(name)[start:stop] for name in ("frames", "seen"))
    base_height, base_width = casper.shape[1:3]
    masks = tracks.read(objects, work.inputs, start=start, stop=stop)
    preserve = work.inputs["preserve"].array("masks")[start:stop, ..., 0] if "preserve" in work.inputs else None
    for t, (frame, result) in enumerate(zip(native, casper, strict=True)):
        protected = None if preserve is None else scaled(preserve[t], height=height, width=width)
        tri = trimask(scaled(masks[t], height=height, width=width), keep=keep, preserve=protected)
        image = frames.to_float(frames.resized(frame[None], height, width)[0])
        guides = guide.guide(
            casper=result,
            # From 8 bit and by area, exactly as Casper got it: otherwise rounding would look like a change.
            base=frames.resized(frames.to_bytes(frame[None]), base_height, base_width)[0],
            image=image,
            tri=tri,
            plate=guide.Backdrop(frames.to_float(rgb[t]), seen[t].astype(np.float32)),
        )
        untouched = None if protected is None else (protected > 0) & (tri != REMOVE)
        yield _Shown(guides, image, untouched)


def _channels(labels: list[str], keep: list[str]) -> list[int]:
    unknown = [label for label in keep if label not in labels]
    if unknown:
        raise BadOption(f"no object is called {unknown[0]!r}; the objects are {', '.join(labels)}.", field="keep")
    return [labels.index(label) for label in keep]
