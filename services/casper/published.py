"""A published Casper as a model of the `casper` stage: CogVideoX-Fun or Wan 2.1, at the size that it was trained at.

    OMNIMATTE_FP8   1: where a GPU has too little memory, weights may be kept in 8 bits; results change slightly

Must not know: how a family of networks works (`large/families.py` opens it by name).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services import tracks
from services.artifacts import Artifact, digest
from services.casper import runs
from services.casper.large.casper import LargeCasper
from services.casper.large.families import FAMILIES, Family
from services.casper.large.placement import choose, seen_device
from services.casper.large.tiers import FULL, Tier, tier
from services.catalogue import digest_of, locate
from services.chunk_writer import ChunkWriter
from services.errors import BadOption
from services.model_stage import Model
from services.stage import Params, Work
from services.tracks import Track

FP8_VARIABLE = "OMNIMATTE_FP8"
_MOST_TOGETHER = 8
_CHUNK = 16
_MAX_STEPS = 256
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")


class PublishedModel(Model):
    """The model `name` of `services.profiles.MODELS["casper"]`, with the weights in the weights folder."""

    def __init__(self, name: str) -> None:
        self._family: Family = FAMILIES[name]
        self._loaded: LargeCasper | None = None
        self._placed_for = (0, 0)

    def weights(self) -> str:
        digests = [digest_of(entry) for entry in (self._family.base, self._family.casper)]
        # Rounded weights are other weights.
        return digest([*digests, "fp8"] if _fp8() else digests)

    def load(self, params: Params) -> None:
        """Raises NotFound, BadOption (naming the tensor that does not fit), OutOfSpace (saying what would fit)."""
        height, width = _asked_size(params) or self._size
        if self._loaded is not None and height * width <= self._placed_for[0] * self._placed_for[1]:
            return
        self._loaded = None
        placement = choose(
            seen_device(),
            self._family.need_at,
            height=height,
            width=width,
            runs=_MOST_TOGETHER,
            exact=not _fp8(),
        )
        self._loaded = self._family.load(locate(self._family.base), placement, casper=self._family.file())
        self._placed_for = height, width

    @property
    def _size(self) -> tuple[int, int]:
        """Height and width of the model's frames for clips that are wider than tall."""
        return self._family.standard.height, self._family.standard.width

    def run(self, work: Work) -> Params:
        assert self._loaded is not None
        objects = tracks.parse(work.params["objects"])
        wanted = runs.parse(work.params, objects)
        clip = _StoredClip.of(work, objects)
        total, native_height, native_width = clip.video.shape[:3]
        height, width = _asked_size(work.params) or _turned(self._size, native_height, native_width)
        sampling = replace(
            self._family.standard,
            tier=_tier(work.params),
            seed=int(work.params.get("seed", 0)),
            height=height,
            width=width,
            prompt=str(work.params.get("prompt") or self._family.standard.prompt),
            context=str(work.params.get("context") or self._family.standard.context),
        )

        def progress(done: int, total: int, note: str) -> None:
            work.check()
            work.progress(done, total, note)

        parts = self._loaded.remove(clip, [run.keep for run in wanted], sampling, on_progress=progress)
        outputs = [ChunkWriter(run.frames(work, shape=(total, height, width), chunk=_CHUNK)) for run in wanted]
        for run, first, frames in parts:
            for t, frame in enumerate(frames.astype(np.float16), start=first):
                outputs[run].put(t, frame)
        return {
            "frames": total,
            "height": height,
            "width": width,
            "window": sampling.window_frames,
            "tier": sampling.tier.name,
        }


@dataclass(frozen=True)
class _StoredMasks:
    """All objects' masks of a clip, [T, H, W, N], read by slices along time."""

    objects: tuple[Track, ...]
    inputs: Any
    shape: tuple[int, ...]

    def __getitem__(self, part: slice) -> NDArray[np.uint8]:
        return tracks.read(self.objects, self.inputs, start=part.start, stop=part.stop)


@dataclass(frozen=True)
class _StoredPreserve:
    """The preserve region of a clip, [T, H, W], read by slices along time."""

    artifact: Artifact

    def __getitem__(self, part: slice) -> NDArray[np.uint8]:
        return np.asarray(self.artifact.array("masks")[part.start : part.stop, ..., 0])


@dataclass(frozen=True)
class _StoredClip:
    """A `services.casper.large.clip.Clip` in the artifact store: a clip's length is not bounded by memory."""

    video: Any
    masks: _StoredMasks
    preserve: _StoredPreserve | None

    @staticmethod
    def of(work: Work, objects: tuple[Track, ...]) -> _StoredClip:
        video = work.inputs["video"].array("frames")
        masks = _StoredMasks(objects, work.inputs, (*video.shape[:3], len(objects)))
        preserve = _StoredPreserve(work.inputs["preserve"]) if "preserve" in work.inputs else None
        return _StoredClip(video, masks, preserve)


def _turned(size: tuple[int, int], height: int, width: int) -> tuple[int, int]:
    """The model's (landscape) size, turned for a clip that is taller than wide."""
    return (size[1], size[0]) if height > width else size


def _asked_size(params: Params) -> tuple[int, int] | None:
    """(height, width) of the request's `size`, "HxW"; None if it has none. Raises BadOption."""
    text = str(params.get("size", ""))
    if not text:
        return None
    match = _SIZE.fullmatch(text)
    if match is None:
        raise BadOption(f"{text!r} is no size; write HEIGHTxWIDTH, like 384x672.", field="size")
    return int(match[1]), int(match[2])


def _tier(params: Params) -> Tier:
    """The request's tier, with as many steps as it asks for. Raises BadOption."""
    chosen = tier(str(params.get("tier") or FULL.name))
    steps = int(params.get("steps", 0))
    if not 0 <= steps <= _MAX_STEPS:
        raise BadOption(f"{steps} denoising steps are not possible; choose 1 to {_MAX_STEPS}.", field="steps")
    return Tier(chosen.name, steps or chosen.steps, chosen.cache)


def _fp8() -> bool:
    return os.environ.get(FP8_VARIABLE, "") == "1"
