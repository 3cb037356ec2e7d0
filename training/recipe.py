"""What a recipe is: everything a training run depends on, as one typed, frozen object.

Recipes (training/recipes/) are values of these types, so that a run's hyper-parameters can be read in one place, and
the trainer (training/trainer.py) is the only code that acts on them. Must not know: any network, any data set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

Batch = dict[str, Any]
"""Tensors by name; captions are lists of str."""


@dataclass(frozen=True)
class Optimiser:
    """How the weights move.

    Attributes:
        kind: "adamw", or "came" (Luo et al. 2023), which keeps factored second moments: for networks whose AdamW state
            would not fit.
        lr: peak learning rate. clip: largest norm of the gradient over all weights.
        betas: two for AdamW, three for CAME. weight_decay: decoupled, as in AdamW.
    """

    kind: Literal["adamw", "came"] = "adamw"
    lr: float = 4e-4
    betas: tuple[float, ...] = (0.9, 0.98)
    weight_decay: float = 0.01
    clip: float = 1.0

    def over(self, weights: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        if self.kind == "came":
            from came_pytorch import CAME

            made: torch.optim.Optimizer = CAME(weights, lr=self.lr, betas=self.betas, weight_decay=self.weight_decay)
            return made
        first, second = self.betas
        return torch.optim.AdamW(weights, lr=self.lr, betas=(first, second), weight_decay=self.weight_decay)


@dataclass(frozen=True)
class Schedule:
    """Warm-up, plateau, linear cool-down: a run can be shortened or extended while it is on the plateau.

    Attributes:
        warmup: steps until the learning rate is at its peak.
        cooldown: share of all steps over which it falls to zero at the end; 0 keeps it constant.
    """

    warmup: int = 100
    cooldown: float = 0.3

    def factor(self, step: int, steps: int) -> float:
        """Share of the peak learning rate at `step` of `steps`, counted from 0."""
        rise = min(1.0, (step + 1) / max(1, self.warmup))
        fall = min(1.0, (steps - step) / max(1.0, self.cooldown * steps)) if self.cooldown > 0 else 1.0
        return min(rise, fall)


@dataclass(frozen=True)
class Recipe:
    """What to train, on what, and how.

    Attributes:
        build: makes the network; new weights come from the global seed. Weights that do not require a gradient are
            neither trained nor saved.
        batches: endless batches from a seed; the same seed gives the same batches.
        loss: (network, batch, generator) -> scalar; all its chance comes from the generator.
        ema: decay of the moving average that is exported; 0 keeps none, and exports the weights themselves.
        accumulate: batches to one step.
        chapter: after so many steps the data starts anew from another seed, so that a run resumes by skipping less
            than one chapter, whatever its length. A checkpoint on a chapter's border skips nothing.
    """

    build: Callable[[], nn.Module]
    batches: Callable[[int], Iterator[Batch]]
    loss: Callable[[nn.Module, Batch, torch.Generator], Tensor]
    optimiser: Optimiser = Optimiser()
    schedule: Schedule = Schedule()
    ema: float = 0.998
    accumulate: int = 1
    chapter: int = 1000


@dataclass(frozen=True)
class Sources:
    """Local files that a recipe may need; nothing is ever fetched.

    Attributes:
        base: folder of a pretrained model in diffusers' layout (transformer/, vae/, text_encoder/, ...).
        scenes: folder of scene files, one folder per category in it (object-paste/, kubric/, tripod/, omnimatte/).
    """

    base: Path | None = None
    scenes: Path | None = None
