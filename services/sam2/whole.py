"""The whole of one object, what others hide of it included: segmented anew on its solo video (paper section 4).

Must not know: how it is segmented (`services/sam21/resegment.py` does).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services import frames, tracks
from services.arrays import Content
from services.errors import BadOption
from services.sam21.resegment import resegment
from services.sam21.segmenter import Segmenter
from services.stage import Params, Work
from services.trimask import scaled

Byte = NDArray[np.uint8]


def run(work: Work, segmenter: Segmenter, *, on_progress: Callable[[int, int], None]) -> Params:
    """Writes `masks` [T, h, w, 1] uint8 0 or 255 of object `params["whole"]`, at the size of the solo video.

    Raises BadOption if the request has no such object.
    """
    solo = _Solo(work.inputs["solo"].array("frames"))
    total, height, width = solo.shape[:3]
    found = resegment(solo, _given(work, height=height, width=width), segmenter=segmenter, on_progress=on_progress)
    out = work.draft.array("masks", shape=(total, height, width, 1), dtype="uint8", content=Content.COVERAGE)
    for start, stop in frames.chunk_ranges(out):
        out[start:stop] = found[start:stop, ..., None]
    return {"frames": total, "height": height, "width": width, "labels": [work.params["whole"]]}


@dataclass(frozen=True)
class _Solo:
    """The solo video, floats in the store, as a segmenter reads it: 8 bit, by index or by slice."""

    array: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)

    def __getitem__(self, part: Any) -> Byte:
        return frames.to_bytes(np.asarray(self.array[part]))


def _given(work: Work, *, height: int, width: int) -> Byte:
    """What is known of the object, [T, h, w] uint8 0 or 255."""
    followed = tracks.parse(work.params["objects"])
    labels = [track.label for track in followed]
    label = work.params["whole"]
    if label not in labels:
        raise BadOption(f"no object is called {label!r}; the objects are {', '.join(labels)}.", field="whole")
    source = work.inputs[followed[labels.index(label)].input].array("masks")
    parts = []
    for start, stop in frames.chunk_ranges(source):
        work.check()
        found = tracks.read(followed, work.inputs, start=start, stop=stop)[..., [labels.index(label)]]
        parts += [scaled(mask, height=height, width=width)[..., 0] for mask in found]
    return np.stack(parts)
