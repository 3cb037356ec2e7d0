"""The denoising loop, against the release's formulas written out, short and longer than a window."""

from __future__ import annotations

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from services.casper.large.windows import Rule
from services.casper.wan import network
from services.casper.wan.denoise import Conditions, denoise, shared_noise
from services.casper.windows import Window
from services.errors import Cancelled
from services.casper.wan import tiny

SMALL = Rule(window=5, overlap=2, last="full")
STEPS = 3


@pytest.fixture(scope="module")
def text() -> Tensor:
    return torch.randn(1, 512, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def image() -> Tensor:
    return torch.randn(1, 5, 20, generator=torch.Generator().manual_seed(2))


def conditions(latents: int, runs: int) -> Conditions:
    generator = torch.Generator().manual_seed(3)
    mask = torch.rand(runs, 4, latents, 4, 6, generator=generator)
    return Conditions(mask, torch.randn(1, 16, latents, 4, 6, generator=generator))


def predictor(text: Tensor, image: Tensor):  # type: ignore[no-untyped-def]
    tiny = tiny.tiny_network()

    def predict(given: Tensor, timestep: float, window: Window) -> Tensor:
        assert given.shape[2] == len(window)
        return network.predict(tiny, given, timestep=timestep, text=text, image=image)

    return predict


def released(latents: int, run: int, runs: int, noise: Tensor, text: Tensor, image: Tensor) -> Tensor:
    """The release's loop for one run: its scheduler with the step index set back, its shifted-back last window."""
    tiny = tiny.tiny_network()
    told = conditions(latents, runs)
    scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=5.0)
    scheduler.set_timesteps(STEPS)
    state, size, overlap = noise, SMALL.window, SMALL.overlap
    ramp = torch.linspace(0, 1, overlap + 2)[1:-1]
    for t in scheduler.timesteps:
        canvas, total = torch.zeros_like(state), torch.zeros(latents)
        start, last = 0, False
        while not last:
            stop = min(start + size, latents)
            if stop - start < size:
                start = max(0, stop - size)
            last = stop >= latents
            given = torch.cat(
                [state[:, :, start:stop], told.mask[run : run + 1, :, start:stop], told.video[:, :, start:stop]], dim=1
            )
            velocity = tiny(given, t[None], text, image, return_dict=False)[0]
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
@pytest.mark.parametrize("together", [1, 2, 3])
def test_runs_are_those_of_the_release(latents: int, together: int, text: Tensor, image: Tensor) -> None:
    noise = shared_noise(latents, height=4, width=6, seed=0)
    found = denoise(
        predictor(text, image),
        conditions(latents, runs=3),
        noise=noise,
        steps=STEPS,
        together=together,
        on_window=lambda done, total: None,
        rule=SMALL,
    )
    assert found.shape == (3, 16, latents, 4, 6)
    for run in range(3):
        wanted = released(latents, run, 3, noise, text, image)
        assert (found[run] - wanted[0]).abs().max() < 1e-4 * wanted.abs().max()
    assert not torch.allclose(found[0], found[1], atol=1e-2)


def test_progress_comes_after_each_window_of_each_step_and_may_stop_the_loop(text: Tensor, image: Tensor) -> None:
    seen: list[tuple[int, int]] = []

    def stop_at(limit: int, done: int, total: int) -> None:
        seen.append((done, total))
        if done == limit:
            raise Cancelled("stopped")

    def run(limit: int) -> None:
        denoise(
            predictor(text, image),
            conditions(11, runs=3),
            noise=shared_noise(11, height=4, width=6, seed=0),
            steps=2,
            together=2,
            on_window=lambda done, total: stop_at(limit, done, total),
            rule=SMALL,
        )

    run(-1)
    # Two groups of runs, two steps, windows 0-5, 3-8 and 6-11.
    assert seen == [(done, 12) for done in range(1, 13)]
    seen.clear()
    with pytest.raises(Cancelled):
        run(5)
    assert len(seen) == 5


def test_noise_depends_on_seed_and_place_only() -> None:
    short, long = (shared_noise(n, height=4, width=6, seed=7) for n in (3, 9))
    assert torch.equal(short, long[:, :, :3])
    assert long.mean().abs() < 0.1
    assert long.std() == pytest.approx(1, abs=0.1)
    assert not torch.equal(long[:, :, 0], long[:, :, 1])
    assert not torch.equal(shared_noise(3, height=4, width=6, seed=8), short)
