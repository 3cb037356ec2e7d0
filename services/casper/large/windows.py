"""Temporal multidiffusion over latent frames (paper section 3.2), as the large Caspers do it: plan, weigh, blend.

Unlike compact Casper's (`services/casper/windows.py`) these windows have fixed steps and ramps: the released networks'
results depend on them. Every window is taken one full scheduler step, and what comes out is blended in float32.
Must not know: any network, any scheduler.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Literal

import torch
from torch import Tensor

from services.casper.windows import Window


@dataclass(frozen=True)
class Rule:
    """How a family of networks cuts a clip, in latent frames.

    last: what the last window is that would reach over the clip's end: "short" keeps its start and ends with the clip,
    "full" keeps its length and starts earlier. Its ramp stays `overlap` long in both cases.
    """

    window: int
    overlap: int
    last: Literal["short", "full"]

    def __post_init__(self) -> None:
        if not 0 <= 2 * self.overlap <= self.window or self.window < 1:
            raise ValueError(f"overlap {self.overlap} must be at least 0 and at most half the window {self.window}")


COGVIDEOX = Rule(window=22, overlap=4, last="short")
WAN = Rule(window=21, overlap=4, last="full")


def plan_windows(latents: int, rule: Rule) -> tuple[Window, ...]:
    """Windows that cover `latents`: one every window - overlap latents until the clip's end is reached."""
    return tuple(_windows(latents, rule))


def _windows(latents: int, rule: Rule) -> Iterator[Window]:
    for start in count(0, rule.window - rule.overlap):
        stop = start + rule.window
        if stop < latents:
            yield Window(start, stop)
            continue
        shifted = max(0, latents - rule.window)
        yield Window(min(start, shifted) if rule.last == "full" else start, latents)
        return


def ramp_weights(windows: tuple[Window, ...], *, overlap: int) -> tuple[Tensor, ...]:
    """Per window, a weight float32 [len(window)]: 1, with a ramp 0.2, 0.4, 0.6, 0.8 (overlap 4) towards a neighbour.

    Not normalised: `blended` divides by their sum.
    """
    ramp = torch.arange(1, overlap + 1, dtype=torch.float32) / (overlap + 1)
    weights = []
    for i, window in enumerate(windows):
        weight = torch.ones(len(window))
        if overlap and i > 0:
            weight[:overlap] = ramp
        if overlap and i + 1 < len(windows):
            weight[-overlap:] = ramp.flip(0)
        weights.append(weight)
    return tuple(weights)


def blended(windows: tuple[Window, ...], results: Iterable[Tensor], weights: tuple[Tensor, ...]) -> Tensor:
    """The clip [B, C, T', h, w] in float32 out of each window's result [B, C, t, h, w], taken as they arrive."""
    canvas: Tensor | None = None
    latents = windows[-1].stop
    total = torch.zeros(latents)
    for window, result, weight in zip(windows, results, weights, strict=True):
        if canvas is None:
            shape = (*result.shape[:2], latents, *result.shape[3:])
            canvas = torch.zeros(shape, dtype=torch.float32, device=result.device)
        canvas[:, :, window.start : window.stop] += result.float() * _over_time(weight, result.device)
        total[window.start : window.stop] += weight
    if canvas is None:
        raise ValueError("there is no window to blend")
    return canvas / _over_time(total, canvas.device)


def _over_time(weight: Tensor, device: torch.device) -> Tensor:
    return weight.to(device)[:, None, None]
