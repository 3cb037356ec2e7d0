"""What in a frame attends to an object (paper section 3.3, Eq. 1), by watching a denoiser's self-attention.

Works on any denoiser whose attention goes through torch's `scaled_dot_product_attention`: compact and large alike. Must
not know: how a denoiser is built inside, and what is drawn of the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.overrides import TorchFunctionMode

from services.errors import BadMask, BadOption

Bytes = NDArray[np.uint8]
START, LOOK, STRIDE = 0.5, 0.125, 0.125
"""Noise level to start from, level to look at (paper Fig. 5), and step between them."""


@dataclass(frozen=True)
class Grid:
    """How one self-attention's tokens lie over the clip.

    frames: steps of time that attend to each other; 1 if every frame is on its own. rows, columns: positions in each.
    before: tokens that come first and are no positions (text).
    """

    frames: int
    rows: int
    columns: int
    before: int = 0

    @property
    def tokens(self) -> int:
        return self.before + self.frames * self.rows * self.columns


class Denoiser(Protocol):
    """A network with a clip already noised to START."""

    def grids(self) -> tuple[Grid, ...]:
        """Its self-attentions, each size once."""

    def moment(self, frame: int) -> int:
        """The step of time that holds the frame."""

    def step(self, t: float, following: float | None) -> None:
        """Run the network at noise level t; go on to `following` unless it is None."""


def response(weights: Tensor, inside: Tensor) -> Tensor:
    """Eq. 1: the share of each position's attention within its frame that goes to the object.

    weights: [P, P] attention of query p to key x, both in one frame. inside: [P], the object's share of each position,
    0..1. Returns [P] in 0..1.
    """
    return (weights * inside).sum(dim=-1) / weights.sum(dim=-1).clamp(min=1e-12)


def frame_weights(query: Tensor, key: Tensor, grid: Grid, *, moment: int) -> Tensor:
    """Attention weights [P, P] within one frame, mean over heads, out of query and key [B, heads, tokens, channels].

    The softmax runs over all tokens, as in the network; only afterwards are the frame's own keys picked.
    """
    size = grid.rows * grid.columns
    clip, first = (moment, 0) if grid.frames == 1 else (0, grid.before + moment * size)
    inside = slice(first, first + size)
    q, k = query[clip].float(), key[clip].float()
    weights = torch.softmax(q[:, inside] @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, dim=-1)
    return weights[:, :, inside].mean(dim=0)


@dataclass
class Watch(TorchFunctionMode):
    """While entered, adds up the weights of every self-attention whose tokens lie on one of `grids`."""

    grids: tuple[Grid, ...]
    moment: int
    sums: dict[Grid, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if func is F.scaled_dot_product_attention:
            query = args[0] if args else given["query"]
            key = args[1] if len(args) > 1 else given["key"]
            for grid in self.grids:
                if query.shape[-2] == key.shape[-2] == grid.tokens:
                    weights = frame_weights(query.detach(), key.detach(), grid, moment=self.moment)
                    self.sums[grid] = self.sums[grid] + weights if grid in self.sums else weights
        return func(*args, **given)


@torch.no_grad()
def responses(denoiser: Denoiser, mask: Bytes, *, frame: int) -> dict[Grid, NDArray[np.float32]]:
    """r(p) [rows, columns] of each of the denoiser's grids for the object `mask` [H, W] (0 or 255) in frame `frame`.

    Weights are averaged over the heads and layers of a grid before Eq. 1. Raises BadMask if the object is not there.
    """
    if not mask.any():
        raise BadMask(f"the mask is empty in frame {frame}; choose a frame that shows the object with --frame.")
    t = START
    while t - STRIDE >= LOOK:
        denoiser.step(t, t - STRIDE)
        t -= STRIDE
    with Watch(denoiser.grids(), denoiser.moment(frame)) as watch:
        denoiser.step(t, None)
    found = {}
    for grid, weights in watch.sums.items():
        inside = cv2.resize(mask, (grid.columns, grid.rows), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        flat = response(weights, torch.from_numpy(inside).flatten().to(weights.device))
        found[grid] = flat.reshape(grid.rows, grid.columns).cpu().numpy()
    if not found:
        raise BadOption("no self-attention of this network was seen; it does not use torch's attention function.")
    return found
