"""The `sam2` stage, compact profile: boxes and points in, one mask track per object out (paper section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from services import frames
from services.errors import BadOption
from services.sam2.tracker import Prompt, track
from services.stage import Params, Stage, Work


class Sam2(Stage):
    """Video + prompts -> masks [T, H, W, N] of the objects `labels`, in that order."""

    name: ClassVar[str] = "sam2"
    version: ClassVar[int] = 1

    def run(self, work: Work) -> Params:
        source = work.inputs["video"].array("frames")
        labels = [str(label) for label in work.params["labels"]]

        def progress(done: int, total: int) -> None:
            work.check()
            work.progress(done, total, "tracking")

        tracks = track(
            source,
            _prompts(work.params["prompts"], labels),
            labels=labels,
            on_progress=progress,
            cancelled=lambda: False,  # `progress` raises instead
        )
        out = work.draft.array("masks", shape=(*source.shape[:3], len(labels)), dtype="uint8")
        for start, stop in frames.chunk_ranges(out):
            work.check()
            out[start:stop] = np.stack([tracks[t] for t in range(start, stop)])
        total, height, width = source.shape[:3]
        return {"frames": total, "height": height, "width": width, "labels": labels}


def _prompts(given: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> list[Prompt]:
    """Prompts of the request, objects by number. Raises BadOption for a label that is not among `labels`."""
    prompts = []
    for prompt in given:
        if prompt["object"] not in labels:
            raise BadOption(f"a prompt is for {prompt['object']!r}, which is none of {', '.join(labels)}.")
        prompts.append(
            Prompt(
                object=labels.index(prompt["object"]),
                frame=int(prompt["frame"]),
                box=tuple(prompt["box"]) if "box" in prompt else None,
                point=tuple(prompt["point"]) if "point" in prompt else None,
                positive=bool(prompt.get("positive", True)),
            )
        )
    return prompts
