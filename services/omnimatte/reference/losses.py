"""The objective of the paper (section 3.5, equations 2-4, appendix D), term by term.

The paper gives weights but not how its norms are normalised; with plain means, its sparsity weight of 10 would make
every alpha zero. Means are taken as the released code takes them: reconstruction over all values, sparsity times the
share of the frame that the object's mask covers and times 0.075, supervision inside and outside of the mask each over
its own area.

Tensors are float32 in 0..1, frames [B, 3, h, w], maps [B, 1, h, w].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_UNIT = 0.075
"""Sparsity of weight 1, per share of the frame that is object."""


@dataclass(frozen=True)
class Weights:
    """What the terms of one pass weigh.

    Attributes:
        squared: reconstruction is L2 (base pass) or L1 (high-resolution pass).
        sparsity: lambda_sparsity; its L1 and L0 parts are weighed by beta1 and beta0.
        mask: lambda_mask in the first iteration. mask_decay: factor by which it has fallen in the last one.
        mask_until: iteration from which it is 0; None: never.
        supervision: lambda_alpha, for the enlarged base alpha.
    """

    squared: bool
    sparsity: float
    mask: float
    mask_decay: float = 1.0
    mask_until: int | None = None
    supervision: float = 0.0
    beta1: float = 10.0
    beta0: float = 1.0

    def mask_at(self, step: int, steps: int) -> float:
        """lambda_mask in iteration `step` of `steps`."""
        if self.mask_until is not None and step >= self.mask_until:
            return 0.0
        return self.mask * self.mask_decay ** (step / max(1, steps - 1))


def composite(alpha: Tensor, colour: Tensor, background: Tensor) -> Tensor:
    """Equation 2."""
    return alpha * colour + (1 - alpha) * background


def reconstruction(composed: Tensor, solo: Tensor, *, squared: bool) -> Tensor:
    """Equation 3."""
    error = composed - solo
    return error.square().mean() if squared else error.abs().mean()


def sparsity(alpha: Tensor, mask: Tensor, *, beta1: float, beta0: float) -> Tensor:
    """Equation 4, with the approximate L0 of Omnimatte (Lu et al. 2021)."""
    counted: Tensor = 2 * torch.sigmoid(5 * alpha) - 1
    return _UNIT * mask.mean() * (beta1 * alpha.abs().mean() + beta0 * counted.mean())


def mask_supervision(alpha: Tensor, mask: Tensor) -> Tensor:
    """L_mask: the squared error inside and outside of the mask, each over its own area."""
    error = (alpha - mask).square()
    inside = (error * mask).sum() / mask.sum().clamp_min(1)
    outside = (error * (1 - mask)).sum() / (1 - mask).sum().clamp_min(1)
    return inside + outside


def alpha_supervision(alpha: Tensor, enlarged: Tensor, where: Tensor) -> Tensor:
    """L_alpha: the squared error against the enlarged base alpha, off its edges (`where` is 1)."""
    return ((alpha - enlarged).square() * where).sum() / where.sum().clamp_min(1)
