"""What Wan is shown apart from the video: CLIP's view of the first frame, or zeros.

The published inference shows the clip's first frame as it is, object included; training shows the clean target's first
frame and, one time in ten, zeros. So both are known to the network, and which serves better is the caller's choice.
Must not know: the denoiser.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from services.frames import to_float

FIRST_FRAME, ZEROS = "first_frame", "zeros"
CONTEXTS = (FIRST_FRAME, ZEROS)

SIDE = 224
TOKENS, CHANNELS = 257, 1280
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_SPREAD = (0.26862954, 0.26130258, 0.27577711)


def prepared(frame: NDArray[Any]) -> Tensor:
    """A frame [H, W, 3] (uint8, uint16, or floats 0..1) at its native size as CLIP takes it: [1, 3, 224, 224].

    Bicubic, squeezed to a square, and without smoothing before it is made smaller.
    """
    image = torch.from_numpy(np.ascontiguousarray(to_float(frame))).permute(2, 0, 1)[None]
    small = F.interpolate(image, size=(SIDE, SIDE), mode="bicubic", align_corners=False, antialias=False)
    mean, spread = (torch.tensor(values)[:, None, None] for values in (_MEAN, _SPREAD))
    return (small - mean) / spread


@torch.no_grad()
def first_frame(frame: NDArray[Any], *, model: Any) -> Tensor:
    """The last but one layer of CLIP ViT-H (CLIPVisionModel) on a frame [H, W, 3]: [1, 257, 1280]."""
    weight = next(model.parameters())
    seen = model(prepared(frame).to(weight.device, weight.dtype), output_hidden_states=True)
    hidden: Tensor = seen.hidden_states[-2]
    return hidden.clone()


def zeros(*, tokens: int = TOKENS, channels: int = CHANNELS) -> Tensor:
    """No context: [1, 257, 1280]."""
    return torch.zeros(1, tokens, channels)
