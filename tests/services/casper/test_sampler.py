"""The denoising loop: seeded, the same noise for every run, any length, stops when asked."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from services.casper.network import CompactCasper, Widths, stack_conditions
from services.casper.sampler import Sampling, frame_noise, sample
from services.casper.schedule import add_noise, ddim_step, timesteps
from services.casper.windows import Window


class Oracle(nn.Module):
    """Knows the answer: the video in the conditions."""

    def forward(self, noisy: Tensor, conditions: Tensor, t: Tensor) -> Tensor:
        return conditions[:, 0:3]


def _conditions(video: np.ndarray):  # type: ignore[no-untyped-def]
    def conditions(window: Window) -> Tensor:
        rgb = torch.from_numpy(video[window.start : window.stop].transpose(3, 0, 1, 2).copy())[None]
        return stack_conditions(rgb, rgb[:, :1], rgb, rgb[:, :1])

    return conditions


def _run(network: nn.Module, video: np.ndarray, **sampling: int) -> np.ndarray:
    parts = sample(
        network, _conditions(video), shape=video.shape[:3], sampling=Sampling(**sampling), on_window=lambda *_: None
    )
    return np.concatenate([part for _, part in parts])


@pytest.mark.parametrize("frames", [1, 5, 16, 17, 45])
def test_a_perfect_network_gives_the_perfect_clip_at_any_length(frames: int) -> None:
    video = np.random.default_rng(0).random((frames, 16, 32, 3), np.float32)
    assert np.abs(_run(Oracle(), video, steps=3, window=16, overlap=4) - video).max() < 2e-3


def test_the_same_seed_gives_the_same_clip_and_another_seed_another() -> None:
    torch.manual_seed(0)
    network = CompactCasper(Widths(levels=(8, 8, 16, 16), time=16)).eval()
    with torch.no_grad():
        network.head.bias[24:].copy_(torch.tensor([0.0] * 8 + [3.0] * 4 + [0.0] * 4))
        network.head.weight[:12] *= 30
    video = np.random.default_rng(0).random((6, 16, 32, 3), np.float32)
    one, two, other = (_run(network, video, steps=2, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.allclose(one, other, atol=1e-4)


def test_a_frames_noise_depends_on_nothing_but_seed_and_number() -> None:
    assert np.array_equal(frame_noise(7, seed=3, height=8, width=8), frame_noise(7, seed=3, height=8, width=8))
    assert not np.array_equal(frame_noise(7, seed=3, height=8, width=8), frame_noise(8, seed=3, height=8, width=8))


def test_progress_counts_every_window_and_may_stop_the_run() -> None:
    video = np.zeros((40, 16, 16, 3), np.float32)
    seen: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> None:
        seen.append((done, total))
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(sample(Oracle(), _conditions(video), shape=(40, 16, 16), sampling=Sampling(steps=2), on_window=stop))
    assert [done for done, _ in seen] == [1, 2, 3, 4, 5]
    assert seen[0][1] == 6


def test_the_schedule_runs_from_noise_to_clean() -> None:
    clean, noise = torch.full((1, 2), 0.5), torch.full((1, 2), -1.0)
    assert torch.allclose(add_noise(clean, noise, torch.ones(1)), noise, atol=1e-6)
    assert torch.allclose(add_noise(clean, noise, torch.zeros(1)), clean)
    x = noise
    levels = timesteps(5)
    for t, following in pairwise(levels):
        x = ddim_step(x, clean, t=t, following=following)
        assert torch.allclose(x, add_noise(clean, noise, torch.tensor([following])), atol=1e-5)
    assert torch.allclose(x, clean, atol=1e-6)
