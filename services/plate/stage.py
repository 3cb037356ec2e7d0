"""The `plate` stage: what other frames saw behind the objects, at base and at working resolution.

Made once for a job: all of Casper's runs and all of super-resolution read it.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from services import base_clip, frames, geometry, tracks
from services.arrays import Content
from services.plate import plate as plates
from services.plate.fine import fine_plate
from services.plate.reader import FrameReader
from services.stage import Params, Stage, Work

_REACH = 48


class PlateStage(Stage):
    """A clip and its objects -> the clip without any of them, as far as other frames show it."""

    name: ClassVar[str] = "plate"
    version: ClassVar[int] = 1

    def run(self, work: Work) -> Params:
        """Writes `base` [T, h, w, 3] uint8 and `base_seen` [T, h, w] float16 at base resolution, `frames`
        [T, H, W, 3] uint8 and `seen` [T, H, W] float16 at working resolution; seen: 0 by no other frame .. 1 by all.

        Raises BadOption for a working resolution that is too small.
        """
        source = work.inputs["video"].array("frames")
        total, native_height, native_width = source.shape[:3]
        long_side = geometry.long_side_of(work.params)
        height, width = geometry.working_size(native_height, native_width, long_side=long_side)
        base_height, base_width = geometry.base_size(native_height, native_width)
        objects = tracks.parse(work.params["objects"])
        clip = base_clip.load(work.inputs, objects, height=base_height, width=base_width, check=work.check)
        anything = clip.masks.max(axis=-1)
        path = plates.camera_path(clip.video, anything)
        read = FrameReader(source, height=height, width=width, keep=2 * _REACH + 1)

        base, base_seen = np.empty_like(clip.video), np.empty(clip.shape, np.float16)
        out = work.draft.array("frames", shape=(total, height, width, 3), dtype="uint8")
        chunk = int(out.chunks[0])
        seen = work.draft.array(
            "seen", shape=(total, height, width), dtype="float16", chunk=chunk, content=Content.COVERAGE
        )
        for start, stop in frames.chunk_ranges(out):
            made = []
            for t in range(start, stop):
                references = plates.choose_references(t, total, reach=_REACH)
                found = list(plates.registered(t, clip.video, anything, path, references=references))
                small = plates.merged(t, clip.video, anything, found)
                base[t], base_seen[t] = small.rgb, small.seen
                made.append(fine_plate(t, read, anything[t], found))
                work.check()
                work.progress(t + 1, total, "frames")
            out[start:stop] = np.stack([one.rgb for one in made])
            seen[start:stop] = np.stack([one.seen for one in made]).astype(np.float16)
        work.draft.array("base", shape=base.shape, dtype="uint8")[:] = base
        work.draft.array("base_seen", shape=base_seen.shape, dtype="float16", content=Content.COVERAGE)[:] = base_seen
        return {"frames": total, "height": height, "width": width}
