"""A run is a function of its recipe and its seed, however often it is interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from torch import Tensor, nn

from services.errors import BadOption, Internal
from training import checkpoint
from training.recipe import Batch, Optimiser, Recipe, Schedule
from training.trainer import Run, train


@pytest.fixture(autouse=True)
def fresh_accelerator() -> Iterator[None]:
    """Accelerate remembers one setting per process; every test makes its own."""
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


def batches(seed: int) -> Iterator[Batch]:
    generator = torch.Generator().manual_seed(seed)
    while True:
        x = torch.randn(4, 3, 8, 8, generator=generator)
        yield {"x": x, "y": -x, "caption": ["a", "b", "c", "d"]}


def loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
    assert network.training
    noise = 0.1 * torch.randn(batch["x"].shape, generator=generator)
    return torch.nn.functional.mse_loss(network(batch["x"] + noise), batch["y"])


def build() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.SiLU(), nn.Dropout(0.1), nn.Conv2d(8, 3, 3, padding=1))


RECIPE = Recipe(build=build, batches=batches, loss=loss, schedule=Schedule(warmup=2), chapter=4)


def weights(network: nn.Module) -> dict[str, Tensor]:
    return checkpoint.trained_state(network)


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_the_same_seed_gives_the_same_weights_bit_for_bit(tmp_path: Path) -> None:
    first = train(RECIPE, Run(steps=6, checkpoint=tmp_path / "a.pt", seed=3))
    second = train(RECIPE, Run(steps=6, checkpoint=tmp_path / "b.pt", seed=3))
    other = train(RECIPE, Run(steps=6, checkpoint=tmp_path / "c.pt", seed=4))
    assert same(weights(first), weights(second))
    assert not same(weights(first), weights(other))


@pytest.mark.parametrize("stop", [3, 4, 7])
@pytest.mark.parametrize("kind", ["adamw", "came"])
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path: Path, stop: int, kind: Any) -> None:
    betas = (0.9, 0.98) if kind == "adamw" else (0.9, 0.999, 0.9999)
    # A constant rate: the cool-down depends on the length of the run.
    recipe = replace(
        RECIPE, accumulate=2, optimiser=Optimiser(kind, betas=betas), schedule=Schedule(warmup=2, cooldown=0)
    )
    whole = train(recipe, Run(steps=9, checkpoint=tmp_path / "whole.pt"))
    train(recipe, Run(steps=stop, checkpoint=tmp_path / "parts.pt"))
    resumed = train(recipe, Run(steps=9, checkpoint=tmp_path / "parts.pt"))
    assert same(weights(whole), weights(resumed))
    ends = [torch.load(tmp_path / name, weights_only=True) for name in ("whole.pt", "parts.pt")]
    assert same(ends[0]["network"], ends[1]["network"])


def test_training_learns_and_the_average_lags_behind_the_weights(tmp_path: Path) -> None:
    recipe = replace(RECIPE, optimiser=Optimiser(lr=1e-2))
    train(recipe, Run(steps=1, checkpoint=tmp_path / "run.pt", precision="no"))
    early = _loss(tmp_path / "run.pt")
    train(recipe, Run(steps=60, checkpoint=tmp_path / "run.pt", precision="no"))
    assert _loss(tmp_path / "run.pt") < 0.8 * early
    stored = torch.load(tmp_path / "run.pt", weights_only=True)
    assert not same(stored["average"], stored["network"])


def _loss(path: Path) -> float:
    network = build()
    network.load_state_dict(torch.load(path, weights_only=True)["average"])
    with torch.no_grad():
        return loss(network.train(), next(batches(99)), torch.Generator().manual_seed(0)).item()


def test_accumulated_batches_count_as_one_larger_batch(tmp_path: Path) -> None:
    seen: list[int] = []

    def counted(seed: int) -> Iterator[Batch]:
        for batch in batches(seed):
            seen.append(1)
            yield batch

    train(replace(RECIPE, batches=counted, accumulate=3), Run(steps=2, checkpoint=tmp_path / "run.pt"))
    assert len(seen) == 6


def test_the_gradient_is_clipped(tmp_path: Path) -> None:
    still = replace(RECIPE, optimiser=Optimiser(kind="came", betas=(0.9, 0.999, 0.9999), lr=1e-9, clip=1e-12))
    torch.manual_seed(0)
    before = weights(build())
    after = weights(train(replace(still, ema=0), Run(steps=2, checkpoint=tmp_path / "run.pt")))
    assert max((before[name] - after[name]).abs().max() for name in before) < 1e-6


def test_frozen_weights_are_neither_changed_nor_saved(tmp_path: Path) -> None:
    def half_frozen() -> nn.Module:
        network = build()
        network[0].requires_grad_(False)  # type: ignore[index]
        return network

    recipe = replace(RECIPE, build=half_frozen)
    trained = train(recipe, Run(steps=2, checkpoint=tmp_path / "run.pt"))
    stored = torch.load(tmp_path / "run.pt", weights_only=True)
    assert set(stored["network"]) == {"3.weight", "3.bias"}
    torch.manual_seed(0)
    assert torch.equal(dict(trained.named_parameters())["0.weight"], dict(build().named_parameters())["0.weight"])


def test_init_starts_from_given_weights(tmp_path: Path) -> None:
    trained = train(RECIPE, Run(steps=3, checkpoint=tmp_path / "first.pt"))
    still = replace(RECIPE, optimiser=Optimiser(lr=0.0, weight_decay=0.0), ema=0)
    started = train(still, Run(steps=1, checkpoint=tmp_path / "second.pt", seed=8, init=tmp_path / "first.pt"))
    assert same(weights(trained), weights(started))


def test_export_writes_half_precision_weights(tmp_path: Path) -> None:
    network = build()
    checkpoint.export_weights(weights(network), tmp_path / "w.safetensors")
    stored = load_file(tmp_path / "w.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16}
    assert same(stored, {name: value.half() for name, value in weights(network).items()})


def test_a_checkpoint_of_another_network_or_seed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    train(RECIPE, Run(steps=1, checkpoint=path))
    with pytest.raises(BadOption, match="seed 0, not 1"):
        train(RECIPE, Run(steps=2, checkpoint=path, seed=1))
    with pytest.raises(BadOption, match="another network"):
        train(replace(RECIPE, build=lambda: nn.Conv2d(3, 3, 3, padding=1)), Run(steps=2, checkpoint=path))
    with pytest.raises(BadOption, match="no weight file"):
        train(RECIPE, Run(steps=2, checkpoint=tmp_path / "new.pt", init=tmp_path / "absent.pt"))


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    broken = replace(RECIPE, loss=lambda network, batch, generator: loss(network, batch, generator) * float("nan"))
    with pytest.raises(Internal, match="step 0"):
        train(broken, Run(steps=1, checkpoint=tmp_path / "run.pt"))
    assert not (tmp_path / "run.pt").exists()


def test_logs_are_written_when_asked_for(tmp_path: Path) -> None:
    train(RECIPE, Run(steps=2, checkpoint=tmp_path / "run.pt", logs=tmp_path / "logs"))
    assert list((tmp_path / "logs").rglob("events.out.tfevents*"))


def test_the_rate_rises_stays_and_falls() -> None:
    schedule = Schedule(warmup=10, cooldown=0.5)
    assert [schedule.factor(step, 100) for step in (0, 9, 50, 75, 99)] == pytest.approx([0.1, 1, 1, 0.5, 0.02])
    assert Schedule(warmup=0, cooldown=0).factor(99, 100) == 1
