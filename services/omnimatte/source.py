"""What the stage reads: the pair of videos and the object's mask, frame ranges at base or working resolution.

Must not know: what is made of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services import frames, geometry, tracks
from services.errors import BadOption, Internal
from services.omnimatte.completion import completed
from services.stage import Work

Array = NDArray[np.float32]
Size = tuple[int, int]
_PART = 16


@dataclass(frozen=True)
class Views:
    """A frame range of one object's clip, float32 0..1.

    Attributes:
        solo: the video with this object alone, [t, h, w, 3].
        background: the video with no object, [t, h, w, 3].
        own: how much of a pixel the object's mask covers, what others hide of it included, [t, h, w].
        others: the same of all other objects together, [t, h, w].
    """

    solo: Array
    background: Array
    own: Array
    others: Array


class Source:
    """Reads the inputs of an `omnimatte` request."""

    def __init__(self, work: Work) -> None:
        """Raises BadOption if the request's inputs do not belong together."""
        self._inputs = work.inputs
        self._tracks = tracks.parse(work.params["objects"])
        labels = [track.label for track in self._tracks]
        label = work.params["label"]
        if label not in labels:
            raise BadOption(f"no object is called {label!r}; the objects are {', '.join(labels)}.", field="label")
        self._channel = labels.index(label)
        background = work.inputs["background_ssr"].array("frames")
        self.length, self.height, self.width = background.shape[:3]
        # A published Casper works at a higher resolution than the paper's base, which the schedules are made for.
        native, removed = (work.inputs[name].array("frames").shape[1:3] for name in ("video", "background"))
        self.base_height, self.base_width = min(removed, geometry.base_size(*native), key=math.prod)
        for name in ("video", "background", "solo", "solo_ssr"):
            if name in work.inputs and work.inputs[name].array("frames").shape[0] != self.length:
                raise BadOption(
                    f"input {name!r} of object {label!r} has another number of frames than its background; "
                    "make both from the same clip."
                )
        self._lacking = self._hidden_parts()

    def base(self, start: int, stop: int) -> Views:
        """Frames [start, stop) at base resolution."""
        return self._views("solo", "background", self._base, start, stop)

    def working(self, start: int, stop: int) -> Views:
        """Frames [start, stop) at working resolution."""
        return self._views("solo_ssr", "background_ssr", (self.height, self.width), start, stop)

    @property
    def _base(self) -> Size:
        return self.base_height, self.base_width

    def _views(self, solo: str, background: str, size: Size, start: int, stop: int) -> Views:
        views = self._given(solo, background, size, start, stop)
        if self._lacking is None:
            return views
        lacking = frames.resized(self._lacking[start:stop].astype(np.float32)[..., None], *size)[..., 0]
        return replace(views, own=np.maximum(views.own, lacking))

    def _given(self, solo: str, background: str, size: Size, start: int, stop: int) -> Views:
        """The frames with the mask as it was given."""
        behind = frames.resized(frames.to_float(self._read(background, start, stop)), *size)
        if solo in self._inputs:
            front = frames.resized(frames.to_float(self._read(solo, start, stop)), *size)
        else:
            # A single object's solo video is the input. Its base frames are made from 8 bit, as those of Casper are:
            # rounding must not look like a difference.
            front = self._read("video", start, stop)
            front = frames.resized(frames.to_bytes(front) if solo == "solo" else front, *size)
        masks = tracks.read(self._tracks, self._inputs, start=start, stop=stop)
        others = np.delete(masks, self._channel, axis=-1)
        union = others.max(-1) if others.shape[-1] else np.zeros_like(masks[..., 0])
        coverage = frames.to_float(frames.resized(np.stack([masks[..., self._channel], union], -1), *size))
        return Views(
            solo=np.clip(frames.to_float(front), 0, 1),
            background=np.clip(behind, 0, 1),
            own=coverage[..., 0],
            others=coverage[..., 1],
        )

    def _hidden_parts(self) -> NDArray[np.float16] | None:
        """What the object's mask lacks because others hid it, [T, h, w] at base resolution; None with one object.

        Found at base resolution, where the solo video is the diffusion model's own.
        """
        if "solo" not in self._inputs:
            return None
        if "whole" in self._inputs:
            return self._segmented_parts()
        lacking = np.empty((self.length, *self._base), np.float16)
        for start in range(0, self.length, _PART):
            views = self._given("solo", "background", self._base, start, min(start + _PART, self.length))
            parts = zip(views.solo, views.background, views.own, views.others, strict=True)
            for t, (solo, background, own, others) in enumerate(parts, start):
                lacking[t] = completed(solo, background, own, others) - own
        return lacking

    def _segmented_parts(self) -> NDArray[np.float16]:
        """The same where the object was segmented anew on its solo video."""
        lacking = np.empty((self.length, *self._base), np.float16)
        for start in range(0, self.length, _PART):
            stop = min(start + _PART, self.length)
            own = self._given("solo", "background", self._base, start, stop).own
            whole = np.asarray(self._inputs["whole"].array("masks")[start:stop])
            coverage = frames.to_float(frames.resized(whole, *self._base))[..., 0]
            lacking[start:stop] = np.maximum(coverage, own) - own
        return lacking

    def _read(self, name: str, start: int, stop: int) -> NDArray[Any]:
        read = np.asarray(self._inputs[name].array("frames")[start:stop])
        if not np.isfinite(read).all():
            address = self._inputs[name].address[:12]
            raise Internal(
                f"input {name!r} ({address}) holds values that are no numbers in frames {start} to {stop - 1}; "
                "delete that artifact and create the job again."
            )
        return read
