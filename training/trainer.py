"""The one trainer: any recipe, on a CPU or on GPUs, resumable at any step, deterministic at a seed.

    python -m training.trainer compact-casper --steps 4000 --checkpoint run.pt --export compact.safetensors
    accelerate launch -m training.trainer casper-wan-1.3b --base MODEL --device cuda --steps 12000 --checkpoint run.pt

All chance in a step comes from (seed, step): which batch, which noise. A run that is stopped and resumed therefore ends
with the weights it would have had. Must not know: what it trains.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

from services.errors import BadOption, Internal, OmnimatteError
from training import checkpoint
from training.checkpoint import State
from training.recipe import Batch, Recipe, Sources

Precision = Literal["bf16", "no"]
Device = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Run:
    """One run of a recipe.

    Attributes:
        steps: optimiser steps in all, those before a resume included.
        seed: of new weights, data and noise.
        checkpoint: file to resume from if it exists, and to write every `every` steps and at the end.
        device: "cuda" uses every GPU that `accelerate launch` gives it. precision: of activations.
        init: weights to start from instead of new ones; ignored by a run that resumes.
        logs: folder for TensorBoard, or None.
    """

    steps: int
    checkpoint: Path
    seed: int = 0
    every: int = 200
    device: Device = "cpu"
    precision: Precision = "bf16"
    init: Path | None = None
    logs: Path | None = None


class Objective(nn.Module):
    """The loss as a module around the network: data-parallel wrappers and autocast then see every call to it."""

    def __init__(self, network: nn.Module, recipe: Recipe) -> None:
        super().__init__()
        self.network = network
        self._loss = recipe.loss

    def forward(self, batch: Batch, generator: torch.Generator) -> Tensor:
        return self._loss(self.network, batch, generator)


def train(recipe: Recipe, run: Run) -> nn.Module:
    """Train up to `run.steps`, continuing from the checkpoint if there is one. Returns the network, averaged.

    Raises BadOption for files that do not fit, Internal if the loss stops being a number.
    """
    accelerator = _accelerator(recipe, run)
    torch.manual_seed(run.seed)
    network = _channels_last(recipe.build())
    if run.init is not None and not run.checkpoint.exists():
        checkpoint.load_state(network, checkpoint.read_weights(run.init), origin=run.init)
    network.to(accelerator.device)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimiser = recipe.optimiser.over(weights)
    average = _copied(network) if recipe.ema else checkpoint.trained_state(network)
    start = checkpoint.resume(run.checkpoint, network=network, average=average, optimiser=optimiser, seed=run.seed)
    objective = accelerator.prepare(Objective(network, recipe))
    objective.train()
    batches = _batches(recipe, seed=run.seed, start=start, process=accelerator.process_index)
    bar = tqdm(range(start, run.steps), initial=start, total=run.steps, disable=not accelerator.is_main_process)
    shown = math.nan
    for step in bar:
        lr = recipe.optimiser.lr * recipe.schedule.factor(step, run.steps)
        for group in optimiser.param_groups:
            group["lr"] = lr
        loss = _gradients(accelerator, objective, batches, recipe, seed=run.seed, step=step)
        if not math.isfinite(loss):
            raise Internal(f"the loss is {loss} at step {step}; resume {run.checkpoint} with a lower learning rate.")
        norm = nn.utils.clip_grad_norm_(weights, recipe.optimiser.clip)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if recipe.ema:
            _follow(average, network, decay=min(recipe.ema, (step + 1) / (step + 10)))
        shown = loss if math.isnan(shown) else 0.98 * shown + 0.02 * loss
        bar.set_postfix(loss=f"{shown:.4f}", refresh=False)
        accelerator.log({"loss": loss, "learning rate": lr, "gradient norm": float(norm)}, step=step)
        if accelerator.is_main_process and ((step + 1) % run.every == 0 or step + 1 == run.steps):
            facts = {"step": step + 1, "seed": run.seed}
            checkpoint.save(run.checkpoint, network=network, average=average, optimiser=optimiser, facts=facts)
    accelerator.end_training()
    network.load_state_dict(average, strict=False)
    return network


def _accelerator(recipe: Recipe, run: Run) -> Accelerator:
    if run.device == "cuda" and not torch.cuda.is_available():
        raise BadOption("this machine has no GPU that PyTorch can use; give --device cpu.")
    # Some CUDA kernels have no deterministic form: they warn. On a CPU all that is used here is deterministic.
    torch.use_deterministic_algorithms(run.device == "cuda", warn_only=True)
    accelerator = Accelerator(
        cpu=run.device == "cpu",
        mixed_precision=run.precision,
        log_with="tensorboard" if run.logs else None,
        project_dir=run.logs,
    )
    if run.logs is not None:
        accelerator.init_trackers("training")
    return accelerator


def _batches(recipe: Recipe, *, seed: int, start: int, process: int) -> Iterator[Batch]:
    """The batches of every step from `start` on: the same ones whether or not the run began there."""
    chapter, skipped = divmod(start, recipe.chapter)
    while True:
        stream = recipe.batches(_number(seed, process, chapter))
        for index in range(recipe.chapter * recipe.accumulate):
            batch = next(stream)
            if index >= skipped * recipe.accumulate:
                yield batch
        chapter, skipped = chapter + 1, 0


def _gradients(
    accelerator: Accelerator,
    objective: nn.Module,
    batches: Iterator[Batch],
    recipe: Recipe,
    *,
    seed: int,
    step: int,
) -> float:
    """Add up the gradients of one step; returns its mean loss on this process."""
    total = 0.0
    for part in range(recipe.accumulate):
        batch = {
            name: value.to(accelerator.device) if isinstance(value, Tensor) else value
            for name, value in next(batches).items()
        }
        number = _number(seed, accelerator.process_index, step, part)
        # Layers such as dropout draw from the global generator.
        torch.manual_seed(number)
        generator = torch.Generator(device=accelerator.device).manual_seed(number)
        last = part + 1 == recipe.accumulate
        with nullcontext() if last else accelerator.no_sync(objective):
            loss = objective(batch, generator) / recipe.accumulate
            accelerator.backward(loss)
        total += loss.item()
    return total


def _number(*parts: int) -> int:
    """A seed out of several numbers, any change of which gives an unrelated one."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint32)[0])


def _channels_last(network: nn.Module) -> nn.Module:
    """2D convolutions in bf16 are several times faster in this layout."""
    for weight in network.parameters():
        if weight.ndim == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return network


def _copied(network: nn.Module) -> State:
    return {name: value.clone() for name, value in checkpoint.trained_state(network).items()}


@torch.no_grad()
def _follow(average: State, network: nn.Module, *, decay: float) -> None:
    for name, value in checkpoint.trained_state(network).items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - decay)
        else:
            average[name].copy_(value)


def main() -> None:
    from training.recipes import RECIPES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", choices=sorted(RECIPES))
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True, help="file to resume from and to write")
    parser.add_argument("--every", type=int, default=200, help="steps between checkpoints")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", choices=("bf16", "no"), default="bf16", help="no: float32 throughout")
    parser.add_argument("--init", type=Path, help="start from these weights (.safetensors or a checkpoint)")
    parser.add_argument("--base", type=Path, help="local folder of the pretrained model, for the large recipes")
    parser.add_argument("--scenes", type=Path, help="folder of scene files, one folder per category in it")
    parser.add_argument("--logs", type=Path, help="folder for TensorBoard")
    parser.add_argument("--export", type=Path, help="write the averaged weights here, in float16")
    given = vars(parser.parse_args())
    factory, export = RECIPES[given.pop("recipe")], given.pop("export")
    sources = Sources(base=given.pop("base"), scenes=given.pop("scenes"))
    try:
        network = train(factory(sources), Run(**given))
    except OmnimatteError as error:
        parser.exit(error.exit_code, f"{parser.prog}: {error.message}\n")
    if export is not None:
        checkpoint.export_weights(checkpoint.trained_state(network), export)


if __name__ == "__main__":
    main()
