"""The large recipes, on networks of the same shape with few random weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from services.errors import BadOption
from training import checkpoint
from training.recipe import Batch, Sources
from training.recipes import RECIPES
from training.recipes.large import conditions, recipes
from training.recipes.large.schedules import Flow, Velocity, bounded_error
from training.trainer import Run, train

LARGE = ("casper-cogvideox", "casper-wan-1.3b", "casper-wan-14b-lora")


@pytest.fixture(autouse=True)
def fresh_accelerator() -> Iterator[None]:
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


def samples(seed: int) -> Iterator[Batch]:
    """Batches with the keys of training/data/casper.py: two latents, 32x48."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        video = torch.rand(1, 3, 5, 32, 48, generator=generator)
        trimask = torch.full((1, 1, 5, 32, 48), 0.5)
        trimask[..., :16, :16] = 0
        yield {"video": video, "target": video.flip(1), "trimask": trimask, "caption": ["a beach"], "seen": trimask}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_recipe_trains_and_resumes(name: str, tmp_path: Path) -> None:
    recipe = recipes.tiny(name, samples)
    torch.manual_seed(0)
    before = {key: value.clone() for key, value in checkpoint.trained_state(recipe.build()).items()}
    whole = checkpoint.trained_state(train(recipe, Run(steps=3, checkpoint=tmp_path / "whole.pt")))
    train(recipe, Run(steps=1, checkpoint=tmp_path / "parts.pt"))
    resumed = checkpoint.trained_state(train(recipe, Run(steps=3, checkpoint=tmp_path / "parts.pt")))
    assert all(torch.isfinite(value).all() for value in whole.values())
    assert any(not torch.equal(whole[key], before[key]) for key in before)
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_the_adapter_alone_is_trained_and_saved(tmp_path: Path) -> None:
    train(recipes.tiny("casper-wan-14b-lora", samples), Run(steps=1, checkpoint=tmp_path / "run.pt"))
    stored = torch.load(tmp_path / "run.pt", weights_only=True)["network"]
    assert stored
    assert all("lora_" in name for name in stored)
    assert {value.shape[0] for name, value in stored.items() if "lora_A" in name} == {128}


def test_a_large_recipe_without_its_base_says_what_to_give(tmp_path: Path) -> None:
    for name in LARGE:
        with pytest.raises(BadOption, match="--base"):
            RECIPES[name](Sources())
        with pytest.raises(BadOption, match="diffusers' layout"):
            RECIPES[name](Sources(base=tmp_path))


def test_noise_spares_pixels_that_were_blacked_out() -> None:
    video = torch.zeros(2, 3, 1, 8, 8)
    video[..., :4] = -1
    noisy = conditions.with_noise(video, torch.tensor([0.1, 1.0]), generator=torch.Generator().manual_seed(0))
    assert torch.equal(noisy[..., :4], video[..., :4])
    assert noisy[0, ..., 4:].std() == pytest.approx(0.1, rel=0.2)
    assert noisy[1, ..., 4:].std() == pytest.approx(1.0, rel=0.2)
    strength = conditions.noise_strength(2000, generator=torch.Generator().manual_seed(0), device=video.device)
    assert strength.median() == pytest.approx(0.05, rel=0.1)


@pytest.mark.parametrize("schedule", [Velocity.make(), Flow.make()])
def test_the_right_answer_leads_back_to_the_clean_latent(schedule: Velocity | Flow) -> None:
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 4, 16, 2, 3, 3, generator=generator)
    timestep = schedule.drawn(4, generator=generator, device=clean.device)
    noisy = schedule.noisy(clean, noise, timestep)
    back, rest = schedule.clean(noisy, schedule.answer(clean, noise, timestep), timestep)
    assert torch.allclose(back, clean, atol=1e-4)
    assert torch.allclose(rest, noise, atol=1e-4)


def test_the_schedules_end_in_pure_noise() -> None:
    assert Velocity.make().alphas[-1] == pytest.approx(0, abs=1e-7)
    assert Flow.make().sigmas[0] == pytest.approx(1)
    # Half way through the steps, a schedule shifted by 5 is still at five sixths.
    assert Flow.make().sigmas[500] == pytest.approx(5 / 6, abs=2e-3)


def test_errors_beyond_the_limit_do_not_count() -> None:
    predicted = torch.tensor([1.0, 100.0])
    assert bounded_error(predicted, torch.zeros(2), limit=50) == pytest.approx(0.5)


def test_a_clip_must_have_whole_latents() -> None:
    recipe = recipes.tiny("casper-cogvideox", samples)
    batch = {key: value[:, :, :4] if key != "caption" else value for key, value in next(samples(0)).items()}
    with pytest.raises(ValueError, match="4k"):
        recipe.loss(recipe.build(), batch, torch.Generator())
