"""Wan's noise levels and steps, against the published tail and the scheduler they come from."""

from __future__ import annotations

import itertools

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from services.casper.wan.schedule import euler_step, sigmas, timestep


def test_fifty_steps_end_as_published() -> None:
    levels = sigmas(50)
    assert len(levels) == 51
    assert levels[0] == 1
    assert levels[-1] == 0
    assert [timestep(level) for level in levels[-4:-1]] == pytest.approx([192.8, 114.8, 24.4], abs=0.05)


def test_the_tail_is_not_that_of_a_single_shift() -> None:
    single = [1000 * 5 * s / (1 + 4 * s) for s in torch.linspace(1, 0, 51).tolist()[-4:-1]]
    assert single[-1] == pytest.approx(92.6, abs=0.05)
    assert timestep(sigmas(50)[-2]) < 25


@pytest.mark.parametrize("steps", [1, 4, 20, 50])
def test_levels_and_steps_are_those_of_the_scheduler(steps: int) -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=5.0)
    scheduler.set_timesteps(steps)
    levels = sigmas(steps)
    assert torch.allclose(torch.tensor(levels), scheduler.sigmas, atol=1e-6, rtol=0)
    assert torch.allclose(torch.tensor([timestep(s) for s in levels[:-1]]), scheduler.timesteps, atol=1e-3, rtol=0)

    generator = torch.Generator().manual_seed(0)
    ours = theirs = torch.randn(1, 16, 3, 4, 4, generator=generator)
    for t, sigma, following in zip(scheduler.timesteps, levels[:-1], levels[1:], strict=True):
        velocity = torch.randn(ours.shape, generator=generator)
        theirs = scheduler.step(velocity, t, theirs, return_dict=False)[0]
        ours = euler_step(ours, velocity, sigma=sigma, following=following)
    assert torch.allclose(ours, theirs, atol=2e-5, rtol=0)


def test_the_right_answer_leads_to_the_clean_latent() -> None:
    clean, noise = torch.randn(2, 1, 16, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    state = noise
    levels = sigmas(4)
    for sigma, following in itertools.pairwise(levels):
        state = euler_step(state, noise - clean, sigma=sigma, following=following)
    assert torch.allclose(state, clean, atol=1e-5)
