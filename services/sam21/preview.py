"""Masks of a single frame while the user is still pointing: the second click costs only the decoder.

What is shown is what `tracking.track` will give on that frame for the same prompts, if they state all its objects
there. Must not know: the rest of the clip.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from services.sam21 import images
from services.sam21.prompts import Prompt, courses
from services.sam21.segmenter import Segmenter
from services.sam21.tracking import Embeddings, FrameSource


class Preview:
    """A clip under somebody's pointer. The frames pointed at last stay embedded."""

    def __init__(self, frames: FrameSource, segmenter: Segmenter) -> None:
        self._shape = tuple(int(n) for n in frames.shape)
        self._segmenter = segmenter
        self._seen = Embeddings(frames, segmenter)

    def masks(self, frame: int, prompts: Sequence[Prompt], *, labels: Sequence[str]) -> NDArray[np.uint8]:
        """Masks [H, W, N] uint8 0 or 255 of the objects `labels` on frame `frame`.

        Of `prompts` those on that frame count; each object needs one there that states it.

        Raises:
            BadPrompt: a prompt cannot be meant for this clip, or an object has none on this frame.
        """
        here = [prompt for prompt in prompts if prompt.frame == frame]
        plan = courses(here, shape=self._shape, labels=labels)
        embedding, (height, width) = self._seen[frame], self._shape[1:3]
        found = [self._segmenter.begin(embedding, c.told[frame], height=height, width=width) for c in plan]
        return images.separated(torch.cat([f.logits for f in found]), height=height, width=width)
