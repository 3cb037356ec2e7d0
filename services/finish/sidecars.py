"""What lies beside the layers: object masks, effect mattes and depth, as grey PNG sequences.

Must not know: where they come from.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from services.artifacts import Draft
from services.finish.names import Kind, Names
from services.finish.shot import Shot
from services.stills import png


@dataclass
class MaskWriter:
    """`masks/<label>/00000.png`: 8 bit, 255 where the object is seen; every object of the job."""

    draft: Draft
    names: Names

    def write(self, shot: Shot) -> None:
        for label, mask in shot.masks.items():
            path = self.names.at(self.names.sequence(Kind.MASK, label, suffix="png"), shot.index)
            self.draft.put(path, png(mask.astype(np.uint8) * np.uint8(255)))


@dataclass
class MatteWriter:
    """`mattes/<label>/00000.png`: the layer's alpha outside the object itself, which is its shadow, its reflection and
    whatever else it does to the scene. Of the layer's own depth."""

    draft: Draft
    names: Names

    def write(self, shot: Shot) -> None:
        for label, layer in shot.layers.items():
            matte = layer[..., 3].copy()
            matte[shot.masks[label]] = 0
            path = self.names.at(self.names.sequence(Kind.MATTE, label, suffix="png"), shot.index)
            self.draft.put(path, png(matte))


@dataclass
class DepthWriter:
    """`depth/00000.png`: 16 bit, 0 far .. 65535 near, relative within the clip, at the clip's size."""

    draft: Draft
    names: Names

    def write(self, shot: Shot) -> None:
        assert shot.depth is not None
        height, width = shot.background.shape[:2]
        near = np.clip(np.nan_to_num(shot.depth.astype(np.float32)), 0.0, 1.0)
        full = np.asarray(cv2.resize(near, (width, height), interpolation=cv2.INTER_LINEAR))
        path = self.names.at(self.names.sequence(Kind.DEPTH, suffix="png"), shot.index)
        self.draft.put(path, png(np.rint(full * 65535.0).astype(np.uint16)))
