"""What finish reads: input frames, background, layers and masks, a few frames at a time, at the clip's own size.

Must not know: what is done with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from services import tracks
from services.artifacts import Artifact
from services.errors import BadOption
from services.finish import upsample

Floats = NDArray[Any]  # float32; numpy's stubs widen it at every step
Integers = NDArray[Any]  # uint8, or uint16 for sources deeper than 8 bit
_BLOCK_BYTES = 96 << 20


@dataclass(frozen=True)
class Layer:
    """One object's layer in one frame, straight: rgb [H, W, 3] and alpha [H, W, 1] float32, 0..1."""

    rgb: Floats
    alpha: Floats


@dataclass(frozen=True)
class Frame:
    """One frame of everything.

    Attributes:
        index: its number.
        image: the input, [H, W, 3] uint8 or uint16.
        background: [H, W, 3] float32.
        layers: one per composited object, in job order.
        masks: [H, W, N] bool, every object of the job, disjoint.
        depth: [h, w] float16, 0 far .. 1 near, at the depth model's size.
    """

    index: int
    image: Integers
    background: Floats
    layers: tuple[Layer, ...]
    masks: NDArray[np.bool_]
    depth: Floats


class Sources:
    """The inputs of one request, checked to fit each other.

    Attributes (beside the obvious):
        box: the part of the frame that background and layers show, (x0, y0, x1, y1); around it the clip is untouched.
    """

    def __init__(self, inputs: Mapping[str, Artifact], objects: list[Mapping[str, Any]]) -> None:
        """objects: as in the request. Objects without an input "layer/<label>" are masks only."""
        self.inputs = inputs
        self.tracks = tracks.parse(objects)
        self.video = inputs["video"]
        self.frames = int(self.video.meta["frames"])
        self.height, self.width = int(self.video.meta["height"]), int(self.video.meta["width"])
        self.box = _box(inputs, height=self.height, width=self.width)
        self.composited = [i for i, track in enumerate(self.tracks) if f"layer/{track.label}" in inputs]
        for name, artifact in inputs.items():
            found = artifact.meta.get("frames")
            if found != self.frames:
                raise BadOption(f"input {name!r} of finish has {found} frames, the video {self.frames}.")

    @property
    def peak(self) -> int:
        """The largest pixel value of the clip: 255 or 65535."""
        return 255 if self.video.array("frames").dtype == np.uint8 else 65535

    @property
    def labels(self) -> list[str]:
        """Labels of the composited objects, in job order."""
        return [self.tracks[i].label for i in self.composited]

    def blocks(self) -> Iterator[range]:
        """Ranges of frames that together fit into memory comfortably."""
        per_frame = self.height * self.width * (24 + 3 * 2 + len(self.composited) * 24 + len(self.tracks))
        step = max(1, min(self.video.array("frames").chunks[0], _BLOCK_BYTES // per_frame))
        for start in range(0, self.frames, step):
            yield range(start, min(self.frames, start + step))

    def read(self, block: range) -> Iterator[Frame]:
        """The frames of `block`, one by one."""
        start, stop = block.start, block.stop
        images: Any = self.video.array("frames")[start:stop]
        backgrounds: Any = self.inputs["background"].array("frames")[start:stop]
        depths: Any = self.inputs["depth"].array("depth")[start:stop]
        layers: list[tuple[Any, Any]] = []
        for i in self.composited:
            artifact = self.inputs[f"layer/{self.tracks[i].label}"]
            layers.append((artifact.array("rgb")[start:stop], artifact.array("alpha")[start:stop]))
        masks = tracks.read(self.tracks, self.inputs, start=start, stop=stop) > 127
        for k, index in enumerate(block):
            picture = images[k].astype(np.float32) / np.float32(self.peak)
            yield Frame(
                index=index,
                image=images[k],
                background=self._put_back(self._native(backgrounds[k]), into=picture),
                layers=tuple(self._layer(rgb[k], alpha[k], picture) for rgb, alpha in layers),
                masks=masks[k],
                depth=depths[k],
            )

    def working(self, block: range) -> tuple[Floats, NDArray[np.bool_]]:
        """Alphas [t, h, w, M] of the composited objects and masks [t, h, w, N], at the layers' resolution."""
        start, stop = block.start, block.stop
        alphas = [
            np.asarray(self.inputs[f"layer/{self.tracks[i].label}"].array("alpha")[start:stop], dtype=np.float32)
            for i in self.composited
        ]
        alpha = np.concatenate(alphas, axis=-1)
        masks = tracks.read(self.tracks, self.inputs, start=start, stop=stop)
        height, width = alpha.shape[1:3]
        masks = np.ascontiguousarray(masks[:, self._rows, self._columns])
        small = np.empty((*alpha.shape[:3], masks.shape[-1]), dtype=bool)
        for t, frame in enumerate(masks):
            resized = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
            small[t] = resized.reshape(height, width, -1) > 127
        return alpha, small

    @property
    def _rows(self) -> slice:
        return slice(self.box[1], self.box[3])

    @property
    def _columns(self) -> slice:
        return slice(self.box[0], self.box[2])

    def _layer(self, rgb: NDArray[Any], alpha: NDArray[Any], picture: Floats) -> Layer:
        """A layer at the clip's size; its alpha follows the edges of `picture` [H, W, 3], float32 0..1."""
        opacity = np.clip(alpha.astype(np.float32), 0.0, 1.0)
        opacity = upsample.guided(opacity, picture[self._rows, self._columns])
        color = self._native(rgb)
        if self._whole:
            return Layer(color, opacity)
        nothing: Floats = np.zeros((self.height, self.width, 1), np.float32)
        return Layer(self._put_back(color, into=np.repeat(nothing, 3, axis=2)), self._put_back(opacity, into=nothing))

    def _native(self, image: NDArray[Any]) -> Floats:
        """`image` [h, w, C] of the region as float32 0..1 at the clip's resolution."""
        values = np.clip(image.astype(np.float32), 0.0, 1.0)
        return upsample.enlarged(values, width=self.box[2] - self.box[0], height=self.box[3] - self.box[1])

    def _put_back(self, region: Floats, *, into: Floats) -> Floats:
        """`region` at its place in a copy of `into` [H, W, C]."""
        if self._whole:
            return region
        whole: Floats = into.copy()
        whole[self._rows, self._columns] = region
        return whole

    @property
    def _whole(self) -> bool:
        return self.box == (0, 0, self.width, self.height)


def _box(inputs: Mapping[str, Artifact], *, height: int, width: int) -> tuple[int, int, int, int]:
    """Columns and rows that the layers show, [x0, y0, x1, y1): those of the input "region", or the whole frame."""
    if "region" not in inputs:
        return 0, 0, width, height
    x0, y0, x1, y1 = (int(value) for value in inputs["region"].meta["box"])
    return x0, y0, x1, y1
