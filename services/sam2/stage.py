"""The `sam2` stage: boxes and points in, one mask track per object out (paper section 3.2).

Which tracker does it is a setting of the process: the classical one (profile `compact`), or SAM 2.1 or EdgeTAM, where
it is given a folder with their weights (profile `sam2.1`). A request may name the profile that it wants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from services import frames
from services.artifacts import digest
from services.errors import BadOption, NotFound
from services.sam2.tracker import Prompt, track
from services.stage import Params, Stage, Work
from services.weights import file_digest

if TYPE_CHECKING:
    from services.sam21.segmenter import Segmenter

COMPACT, NEURAL = "compact", "sam2.1"


class Sam2(Stage):
    """Video + prompts -> masks [T, H, W, N] of the objects `labels`, in that order."""

    name: ClassVar[str] = "sam2"
    version: ClassVar[int] = 1

    def __init__(self, folder: Path | None = None, *, variant: str = "") -> None:
        """`folder` and `variant`: see `services.sam21.loading.load`. Without a folder: the classical tracker."""
        self._folder, self._variant = folder, variant
        self._segmenter: Segmenter | None = None

    def weights(self) -> str:
        if self._folder is None:
            return ""
        from services.sam21.loading import CONFIG, weights_file

        # Without the configuration the weights do not say what they compute.
        config = self._folder / CONFIG
        told = file_digest(config) if config.is_file() else self._variant
        return digest([file_digest(weights_file(self._folder)), told])

    def load(self) -> None:
        if self._folder is None or self._segmenter is not None:
            return
        from services.sam21.loading import load

        self._segmenter = load(self._folder, variant=self._variant)

    def run(self, work: Work) -> Params:
        labels = [str(label) for label in work.params["labels"]]
        profile = work.params.get("profile", COMPACT if self._segmenter is None else NEURAL)
        if profile not in (COMPACT, NEURAL):
            raise BadOption(f"sam2 has no profile {profile!r}; use {COMPACT!r} or {NEURAL!r}.", field="profile")
        if profile == COMPACT:
            return _classical(work, labels)
        if self._segmenter is None:
            raise NotFound(
                "this service has no weights of SAM 2.1; get them with `omnimatte weights pull sam2.1-large`, "
                f"or use the profile {COMPACT!r}."
            )
        from services.sam2 import neural

        return neural.run(work, labels, self._segmenter)


def _classical(work: Work, labels: Sequence[str]) -> Params:
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
    out = work.draft.array("masks", shape=(*source.shape[:3], len(labels)), dtype="uint8")
    for start, stop in frames.chunk_ranges(out):
        work.check()
        out[start:stop] = np.stack([tracks[t] for t in range(start, stop)])
    total, height, width = source.shape[:3]
    return {"frames": total, "height": height, "width": width, "labels": list(labels)}


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
