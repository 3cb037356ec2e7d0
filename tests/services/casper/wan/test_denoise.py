"""The denoising loop, against the release's formulas written out, short and longer than a window."""

from __future__ import annotations

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from services.casper.large.windows import Rule
from services.casper.wan import network, tiny
from services.casper.wan.denoise import OnWindow, Predict, Told, denoise, shared_noise
from services.errors import Cancelled

SMALL = Rule(window=5, overlap=2, last="full")
STEPS = 3


@pytest.fixture(scope="module")
def text() -> Tensor:
    return torch.randn(1, 512, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def image() -> Tensor:
    return torch.randn(1, 5, 20, generator=torch.Generator().manual_seed(2))


def told(latents: int, runs: int) -> Told:
    generator = torch.Generator().manual_seed(3)
    masks = torch.rand(runs, 4, latents, 4, 6, generator=generator)
    video = torch.randn(1, 16, latents, 4, 6, generator=generator)
    return Told(shared_noise(latents, height=4, width=6, seed=0), masks, video)


def ignored(done: int, total: int) -> None:
    pass


def predictor(text: Tensor, image: Tensor) -> Predict:
    denoiser = tiny.tiny_network()

    def predict(given: Tensor, timestep: float, window: int) -> Tensor:
        return network.predict(denoiser, given, timestep=timestep, text=text, image=image)

    return predict


def released(given: Told, run: int, text: Tensor, image: Tensor) -> Tensor:
    """The release's loop for one run: its scheduler with the step index set back, its shifted-back last window."""
    denoiser = tiny.tiny_network()
    scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=5.0)
    scheduler.set_timesteps(STEPS)
    state, size, overlap, latents = given.noise, SMALL.window, SMALL.overlap, given.noise.shape[2]
    ramp = torch.linspace(0, 1, overlap + 2)[1:-1]
    for t in scheduler.timesteps:
        canvas, total = torch.zeros_like(state), torch.zeros(latents)
        start, last = 0, False
        while not last:
            stop = min(start + size, latents)
            if stop - start < size:
                start = max(0, stop - size)
            last = stop >= latents
            parts = [state, given.masks[run : run + 1], given.video]
            channels = torch.cat([part[:, :, start:stop] for part in parts], dim=1)
            velocity = denoiser(channels, t[None], text, image, return_dict=False)[0]
            stepped = scheduler.step(velocity, t, state[:, :, start:stop], return_dict=False)[0]
            scheduler._step_index -= 1
            weight = torch.ones(stop - start)
            if start > 0:
                weight[:overlap] = ramp
            if not last:
                weight[-overlap:] = ramp.flip(0)
            canvas[:, :, start:stop] += stepped * weight[:, None, None]
            total[start:stop] += weight
            start = stop - overlap
        scheduler._step_index += 1
        state = canvas / total[:, None, None]
    return state


@pytest.mark.parametrize("latents", [3, 5, 6, 11])
def test_runs_are_those_of_the_release(latents: int, text: Tensor, image: Tensor) -> None:
    given = told(latents, runs=3)
    found = denoise(predictor(text, image), given, steps=STEPS, on_window=ignored, rule=SMALL)
    assert found.shape == (3, 16, latents, 4, 6)
    for run in range(3):
        wanted = released(given, run, text, image)
        assert (found[run] - wanted[0]).abs().max() < 1e-4 * wanted.abs().max()
    assert not torch.allclose(found[0], found[1], atol=1e-2)


def test_progress_comes_after_each_window_of_each_step_and_may_stop_the_loop(text: Tensor, image: Tensor) -> None:
    seen: list[tuple[int, int]] = []

    def run(on_window: OnWindow) -> None:
        denoise(predictor(text, image), told(11, runs=2), steps=2, on_window=on_window, rule=SMALL)

    def stop_at_third(done: int, total: int) -> None:
        seen.append((done, total))
        if done == 3:
            raise Cancelled("stopped")

    run(lambda done, total: seen.append((done, total)))
    # Two steps, windows 0-5, 3-8 and 6-11.
    assert seen == [(done, 6) for done in range(1, 7)]
    seen.clear()
    with pytest.raises(Cancelled):
        run(stop_at_third)
    assert len(seen) == 3


def test_noise_depends_on_seed_and_place_only() -> None:
    short, long = (shared_noise(n, height=4, width=6, seed=7) for n in (3, 9))
    assert torch.equal(short, long[:, :, :3])
    assert long.mean().abs() < 0.1
    assert long.std() == pytest.approx(1, abs=0.1)
    assert not torch.equal(long[:, :, 0], long[:, :, 1])
    assert not torch.equal(shared_noise(3, height=4, width=6, seed=8), short)
