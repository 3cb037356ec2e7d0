"""The one trainer: any recipe, resumable at any step, exponential moving average, deterministic at a seed.

python -m training.trainer compact-casper --steps 4000 --checkpoint FILE --export services/casper/compact.safetensors
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Recipe:
    """What to train, on what, and how.

    Attributes:
        build: makes the network, weights from the global seed.
        batches: endless batches from a seed.
        loss: (network, batch, generator) -> scalar.
        lr: peak learning rate. warmup: steps to it. cooldown: share of all steps over which it falls to zero at the
        end. ema: decay of the moving average that is exported.
    """

    build: Callable[[], nn.Module]
    batches: Callable[[int], Iterator[Batch]]
    loss: Callable[[nn.Module, Batch, torch.Generator], Tensor]
    lr: float = 4e-4
    warmup: int = 100
    cooldown: float = 0.3
    ema: float = 0.998
    clip: float = 1.0


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Warm-up, plateau, linear cool-down: a run can be shortened or extended while it is on the plateau."""
    rise = min(1.0, (step + 1) / recipe.warmup)
    fall = min(1.0, (steps - step) / max(1.0, recipe.cooldown * steps))
    return recipe.lr * min(rise, fall)


def train(
    recipe: Recipe, *, steps: int, seed: int, checkpoint: Path, every: int = 200, export: Path | None = None
) -> nn.Module:
    """Train up to `steps`, continuing from `checkpoint` if it exists. Returns the averaged network."""
    torch.manual_seed(seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = recipe.build().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = recipe.build().to(device)
    average.load_state_dict(network.state_dict())
    optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.lr, betas=(0.9, 0.98), weight_decay=0.01)
    start = _resume(checkpoint, network, average, optimiser)
    generator = torch.Generator(device=device)
    batches = recipe.batches(seed + start)
    shown = math.nan
    bar = tqdm(range(start, steps), initial=start, total=steps, mininterval=10)
    for step in bar:
        generator.manual_seed(seed * 1_000_003 + step)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(recipe, step, steps)
        batch = {name: value.to(device) for name, value in next(batches).items()}
        with torch.autocast(device.type, torch.bfloat16):
            loss = recipe.loss(network, batch, generator)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        _update_average(average, network, decay=min(recipe.ema, (step + 1) / (step + 10)))
        shown = loss.item() if math.isnan(shown) else 0.98 * shown + 0.02 * loss.item()
        bar.set_postfix(loss=f"{shown:.4f}", refresh=False)
        if (step + 1) % every == 0 or step + 1 == steps:
            _save(checkpoint, network, average, optimiser, step + 1)
    if export is not None:
        export_weights(average, export)
    return average


def export_weights(network: nn.Module, path: Path) -> None:
    """Write float16 weights."""
    state = {name: value.detach().cpu().half().contiguous() for name, value in network.state_dict().items()}
    save_file(state, path)


@torch.no_grad()
def _update_average(average: nn.Module, network: nn.Module, *, decay: float) -> None:
    for slow, fast in zip(average.parameters(), network.parameters(), strict=True):
        slow.lerp_(fast, 1 - decay)


def _save(path: Path, network: nn.Module, average: nn.Module, optimiser: Any, step: int) -> None:
    state = {"network": network, "average": average, "optimiser": optimiser}
    partial = path.with_suffix(".partial")
    torch.save({**{name: part.state_dict() for name, part in state.items()}, "step": step}, partial)
    partial.replace(path)


def _resume(path: Path, network: nn.Module, average: nn.Module, optimiser: Any) -> int:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        return 0
    state = torch.load(path, weights_only=True)
    network.load_state_dict(state["network"])
    average.load_state_dict(state["average"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])


def main() -> None:
    from training.recipes import RECIPES

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", choices=sorted(RECIPES))
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--every", type=int, default=200, help="steps between checkpoints")
    parser.add_argument("--export", type=Path)
    given = parser.parse_args()
    train(
        RECIPES[given.recipe](),
        steps=given.steps,
        seed=given.seed,
        checkpoint=given.checkpoint,
        every=given.every,
        export=given.export,
    )


if __name__ == "__main__":
    main()
