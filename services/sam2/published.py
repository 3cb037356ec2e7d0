"""SAM 2.1 and EdgeTAM as models of the `sam2` stage: prompts in, masks into the draft chunk by chunk.

Must not know: the networks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.arrays import Content
from services.artifacts import Artifact, digest
from services.catalogue import digest_of, locate
from services.chunk_writer import ChunkWriter
from services.engines import OpenNetwork
from services.errors import BadOption
from services.model_stage import Model
from services.sam2 import whole
from services.sam2.mask_files import put_masks
from services.sam21.loading import CONFIG, load
from services.sam21.preview import Preview
from services.sam21.prompts import Prompt
from services.sam21.segmenter import Segmenter
from services.sam21.tracking import track
from services.sam21.variants import EDGETAM
from services.stage import Params, Work
from services.weights import file_digest

Byte = NDArray[np.uint8]


class PublishedModel(Model):
    """The segmenter `name` of `services.profiles.MODELS["sam2"]`, with the weights in the weights folder."""

    def __init__(self, name: str, *, open_network: OpenNetwork | None = None) -> None:
        """open_network: opens the image encoder, if it is not to run in PyTorch; EdgeTAM's always does."""
        self._name, self._open = name, None if name == EDGETAM else open_network
        self._segmenter: Segmenter | None = None

    def weights(self) -> str:
        # A configuration beside the checkpoint, if there is one, decides with it what is computed.
        config = locate(self._name) / CONFIG
        return digest([digest_of(self._name), *([file_digest(config)] if config.is_file() else [])])

    def load(self, params: Params) -> None:
        if self._segmenter is None:
            opened = self._open(f"{self._name}-encoder", None) if self._open is not None else None
            self._segmenter = load(locate(self._name), variant=self._name, encoder=opened)

    def run(self, work: Work) -> Params:
        assert self._segmenter is not None
        run = whole.run if "whole" in work.params else _tracked
        return run(work, self._segmenter, on_progress=_reported(work))


class PublishedPreview(PublishedModel):
    """The same model on one frame; the clip under the pointer stays embedded, so a second click is quick."""

    def __init__(self, name: str, *, open_network: OpenNetwork | None = None) -> None:
        super().__init__(name, open_network=open_network)
        self._clip: tuple[str, Preview] | None = None

    def run(self, work: Work) -> Params:
        assert self._segmenter is not None
        video, labels = work.inputs["video"], [str(label) for label in work.params["labels"]]
        if self._clip is None or self._clip[0] != video.address:
            self._clip = video.address, Preview(video.array("frames"), self._segmenter)
        prompts = _prompts(work.params["prompts"], labels, work.inputs)
        masks = self._clip[1].masks(int(work.params["frame"]), prompts, labels=labels)
        return put_masks(work.draft, masks, labels)


def _reported(work: Work) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        work.check()  # raises when somebody asked to stop
        work.progress(done, total, "tracking")

    return progress


def _tracked(work: Work, segmenter: Segmenter, *, on_progress: Callable[[int, int], None]) -> Params:
    source = work.inputs["video"].array("frames")
    labels = [str(label) for label in work.params["labels"]]
    out = work.draft.array("masks", shape=(*source.shape[:3], len(labels)), dtype="uint8", content=Content.COVERAGE)
    chunks = ChunkWriter(out)
    prompts = _prompts(work.params["prompts"], labels, work.inputs)
    for t, masks in track(source, prompts, labels=labels, segmenter=segmenter, on_progress=on_progress):
        chunks.put(t, masks)
    total, height, width = source.shape[:3]
    return {"frames": total, "height": height, "width": width, "labels": labels}


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
