"""A clip and its objects -> the part of it around them, at working resolution: what later stages take for the clip.

Two passes in a few frames of memory: the first finds where the objects go, the second cuts and reduces.
Must not know: what is done with the region; `finish` puts it back by the box in its meta.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from services import tracks
from services.arrays import Content
from services.artifacts import Artifact
from services.frames import chunk_ranges, resized
from services.region.box import Box, region, working_size
from services.stage import Params, Stage, Work

_BLOCK_BYTES = 96 << 20


class RegionStage(Stage):
    """params: objects, long_side. inputs: video, tracks, preserve?. Arrays: `frames` [T, h, w, 3] of the clip's type,
    `masks` [T, h, w, N] in job order; part "preserve" with its `masks`. meta: that of the clip, without sound, with
    `box` [x0, y0, x1, y1] in pixels of the clip and `native` [H, W]."""

    name = "region"
    version = 1

    def run(self, work: Work) -> Params:
        video = work.inputs["video"]
        found = tracks.parse(work.params["objects"])
        height, width = int(video.meta["height"]), int(video.meta["width"])
        long_side = int(work.params["long_side"])
        box = region(_objects(work, found), width=width, height=height, long_side=long_side)
        size = working_size(box, long_side=long_side)
        _write(work, found, box, size)
        facts = {**video.meta, "height": size[0], "width": size[1], "audio": None}
        return {**facts, "box": box.to_json(), "native": [height, width]}


def _objects(work: Work, found: tuple[tracks.Track, ...]) -> Box | None:
    """The box around all objects in all frames."""
    box: Box | None = None
    for start, stop in _blocks(work):
        work.check()
        masks = tracks.read(found, work.inputs, start=start, stop=stop)
        seen = np.asarray((masks > 127).any(axis=(0, 3)), dtype=np.uint8)
        x, y, width, height = cv2.boundingRect(seen)
        if width:
            here = Box(x, y, x + width, y + height)
            box = here if box is None else box.union(here)
    return box


def _write(work: Work, found: tuple[tracks.Track, ...], box: Box, size: tuple[int, int]) -> None:
    frames: Any = work.inputs["video"].array("frames")
    count = int(frames.shape[0])
    shape = (count, *size)
    out = work.draft.array("frames", shape=(*shape, 3), dtype=str(frames.dtype), chunk=int(frames.chunks[0]))
    chunk = int(out.chunks[0])
    masks = _coverage(work, "masks", (*shape, len(found)), chunk)
    kept = _coverage(work, "preserve/masks", (*shape, 1), chunk) if "preserve" in work.inputs else None
    for start, stop in chunk_ranges(out):
        work.check()
        out[start:stop] = _part(frames[start:stop], box, size)
        masks[start:stop] = _binary(_part(tracks.read(found, work.inputs, start=start, stop=stop), box, size))
        if kept is not None:
            kept[start:stop] = _binary(_part(_masks(work.inputs, "preserve")[start:stop], box, size))
        work.progress(stop, count, "frames")


def _coverage(work: Work, name: str, shape: tuple[int, ...], chunk: int) -> Any:
    return work.draft.array(name, shape=shape, dtype="uint8", chunk=chunk, content=Content.COVERAGE)


def _part(frames: NDArray[Any], box: Box, size: tuple[int, int]) -> NDArray[Any]:
    """[t, h, w, C] of the region, area-averaged where it shrinks."""
    return resized(np.ascontiguousarray(frames[:, box.y0 : box.y1, box.x0 : box.x1]), *size)


def _binary(masks: NDArray[Any]) -> NDArray[np.uint8]:
    return np.where(masks >= 128, 255, 0).astype(np.uint8)


def _masks(inputs: Mapping[str, Artifact], name: str) -> Any:
    return inputs[name].array("masks")


def _blocks(work: Work) -> list[tuple[int, int]]:
    frames: Any = work.inputs["video"].array("frames")
    count, height, width = frames.shape[:3]
    step = max(1, _BLOCK_BYTES // (height * width * (1 + len(work.params["objects"]))))
    return [(start, min(count, start + step)) for start in range(0, count, step)]
