"""The compact tracker as a model of the `sam2` stage: classical vision, nothing trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from services import frames
from services.arrays import Content
from services.errors import BadOption
from services.model_stage import Model
from services.sam2.mask_files import put_masks
from services.sam2.tracker import Prompt, preview, track
from services.stage import Params, Work

# What moves shows within some frames; more would make a click slow.
_AROUND = 4


class ClassicalModel(Model):
    """Boxes and points to tracks, as `tracker.py` does it."""

    def weights(self) -> str:
        return ""

    def run(self, work: Work) -> Params:
        if "whole" in work.params:
            raise BadOption("the compact tracker completes no masks; ask for a model of SAM 2.1.", field="model")
        labels = [str(label) for label in work.params["labels"]]
        source = work.inputs["video"].array("frames")

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
        out = work.draft.array("masks", shape=(*source.shape[:3], len(labels)), dtype="uint8", content=Content.COVERAGE)
        for start, stop in frames.chunk_ranges(out):
            work.check()
            out[start:stop] = np.stack([tracks[t] for t in range(start, stop)])
        total, height, width = source.shape[:3]
        return {"frames": total, "height": height, "width": width, "labels": list(labels)}


class ClassicalPreview(ClassicalModel):
    """The mask of one frame, told from the frames around it."""

    def run(self, work: Work) -> Params:
        frame, labels = int(work.params["frame"]), [str(label) for label in work.params["labels"]]
        source = work.inputs["video"].array("frames")
        start = max(0, min(frame - _AROUND, source.shape[0] - 2 * _AROUND - 1))
        near = np.asarray(source[start : start + 2 * _AROUND + 1])
        prompts = [
            replace(prompt, frame=frame - start)
            for prompt in _prompts(work.params["prompts"], labels)
            if prompt.frame == frame
        ]

        work.check()
        return put_masks(work.draft, preview(near, prompts, frame=frame - start, labels=labels), labels)


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
