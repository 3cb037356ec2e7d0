"""What compact Casper is told about a clip, at base resolution: video, trimask and plate of any window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.artifacts import Artifact
from services.base_clip import BaseClip
from services.casper.network import stack_conditions
from services.casper.windows import Window
from services.errors import BadOption
from services.trimask import trimask


class Conditions:
    """The network's conditions for any window of `clip`, when the objects `keep` (channels) stay.

    plate: the `plate` stage's artifact of the same clip. Raises BadOption if it is another clip's.
    """

    def __init__(self, clip: BaseClip, plate: Artifact, *, keep: Sequence[int]) -> None:
        self._clip = clip
        self._keep = keep
        self._plates = np.asarray(plate.array("base")[:])
        self._seen = np.asarray(plate.array("base_seen")[:])
        if self._plates.shape != clip.video.shape:
            raise BadOption("the plate has another size than the clip; run the plate stage on this clip.")

    def __call__(self, window: Window) -> Tensor:
        """[1, 8, t, h, w] in -1..1."""
        inside = slice(window.start, window.stop)
        preserve = self._clip.preserve
        tri = np.stack(
            [
                trimask(self._clip.masks[t], keep=self._keep, preserve=None if preserve is None else preserve[t])
                for t in range(window.start, window.stop)
            ]
        )
        return stack_conditions(
            _tensor(self._clip.video[inside] / np.float32(255)),
            _tensor(tri[..., None]),
            _tensor(self._plates[inside] / np.float32(255)),
            _tensor(self._seen[inside, ..., None]),
        )


def _tensor(part: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(part.transpose(3, 0, 1, 2), dtype=np.float32))[None]
