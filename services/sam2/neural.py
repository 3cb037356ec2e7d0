"""The `sam2` stage with SAM 2.1 or EdgeTAM: a request's prompts in, masks into the draft chunk by chunk.

Must not know: the networks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.artifacts import Artifact
from services.errors import BadOption
from services.sam21.prompts import Prompt
from services.sam21.segmenter import Segmenter
from services.sam21.tracking import track
from services.stage import Params, Work

Byte = NDArray[np.uint8]


def run(work: Work, labels: Sequence[str], segmenter: Segmenter) -> Params:
    """Track the objects `labels` of the request; returns the artifact's meta."""
    source = work.inputs["video"].array("frames")

    def progress(done: int, total: int) -> None:
        work.check()
        work.progress(done, total, "tracking")

    out = work.draft.array("masks", shape=(*source.shape[:3], len(labels)), dtype="uint8")
    chunks = _Chunks(out)
    found = track(
        source,
        _prompts(work.params["prompts"], labels, work.inputs),
        labels=labels,
        segmenter=segmenter,
        on_progress=progress,  # raises when somebody asked to stop
    )
    for t, masks in found:
        chunks.put(t, masks)
    total, height, width = source.shape[:3]
    return {"frames": total, "height": height, "width": width, "labels": list(labels)}


class _Chunks:
    """Collects frames that come in any order until a chunk of the array is whole."""

    def __init__(self, array: Any) -> None:
        self._array, self._step, self._length = array, int(array.chunks[0]), int(array.shape[0])
        self._open: dict[int, dict[int, Byte]] = {}

    def put(self, t: int, masks: Byte) -> None:
        start = t - t % self._step
        stop = min(start + self._step, self._length)
        chunk = self._open.setdefault(start, {})
        chunk[t] = masks
        if len(chunk) == stop - start:
            self._array[start:stop] = np.stack([chunk[i] for i in range(start, stop)])
            del self._open[start]


def _prompts(given: Sequence[Mapping[str, Any]], labels: Sequence[str], inputs: Mapping[str, Artifact]) -> list[Prompt]:
    """Prompts of the request, objects by number; `mask` names an input, whose first channel of that frame is meant."""
    prompts = []
    for prompt in given:
        if prompt["object"] not in labels:
            raise BadOption(f"a prompt is for {prompt['object']!r}, which is none of {', '.join(labels)}.")
        frame = int(prompt["frame"])
        prompts.append(
            Prompt(
                object=labels.index(prompt["object"]),
                frame=frame,
                box=tuple(prompt["box"]) if "box" in prompt else None,
                point=tuple(prompt["point"]) if "point" in prompt else None,
                positive=bool(prompt.get("positive", True)),
                mask=_mask(inputs, str(prompt["mask"]), frame) if "mask" in prompt else None,
            )
        )
    return prompts


def _mask(inputs: Mapping[str, Artifact], name: str, frame: int) -> Byte:
    if name not in inputs:
        raise BadOption(f"a prompt is the mask {name!r}, and there is no such input; name one of {', '.join(inputs)}.")
    masks = inputs[name].array("masks")
    if not 0 <= frame < masks.shape[0]:
        raise BadOption(f"the mask {name!r} has {masks.shape[0]} frames; a prompt is for frame {frame}.")
    return np.asarray(masks[frame][..., 0], np.uint8)
