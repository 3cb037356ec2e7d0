"""DepthCrafter's sampling on tiny random networks: the published loop in plain words, and its memory."""

import numpy as np
import pytest
import torch

from services.depth.large.crafter import DepthCrafter, Networks, Sampling, svd_scheduler
from services.depth.large.crafter_images import clip_input
from services.depth.large.crafter_unet import predicted
from services.depth.large.device import Place
from services.depth.large.estimator import Size, Watch
from services.errors import Cancelled
from tests.services.depth.large import tiny

PLACE = Place("cpu", torch.float32)


@pytest.fixture(scope="module")
def networks() -> Networks:
    torch.manual_seed(0)
    return Networks(tiny.crafter_unet(), tiny.crafter_vae(), tiny.crafter_clip())


def noise(seed: int, use: int, frame: int, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng([seed, use, frame]).standard_normal(shape, np.float32))


@torch.no_grad()
def plain(networks: Networks, frames: np.ndarray, s: Sampling) -> np.ndarray:
    """The released loop with the whole clip in memory; only where its noise comes from is ours."""
    total = len(frames)
    window, overlap = (total, 0) if total <= s.window else (s.window, s.overlap)
    video = torch.from_numpy(frames.transpose(0, 3, 1, 2)) * 2 - 1
    embeddings = networks.clip(clip_input(video)).image_embeds
    noisy = video + 0.02 * torch.stack([noise(s.seed, 1, t, tuple(video.shape[1:])) for t in range(total)])
    condition = networks.vae.encode(noisy).latent_dist.mode()
    start_noise = torch.stack([noise(s.seed, 0, t, tuple(condition.shape[1:])) for t in range(window)])
    done = torch.zeros(0)
    at = 0
    while at < total - overlap:
        stop = min(at + window, total)
        scheduler = svd_scheduler()
        scheduler.set_timesteps(s.steps)
        latents = start_noise[: stop - at] * scheduler.init_noise_sigma
        if len(done):
            latents[:overlap] = done[-overlap:] + start_noise[:overlap] * scheduler.sigmas[0]
        # The next window's noise begins with what the shared frames had.
        start_noise = torch.cat([start_noise[len(start_noise) - overlap :], start_noise[: window - overlap]])
        for time in scheduler.timesteps:
            scaled = scheduler.scale_model_input(latents, time)
            told = torch.cat([scaled, condition[at:stop]], dim=1)
            answer = predicted(networks.unet, told, time, embeddings[at:stop])
            if s.guidance > 1:
                blank = torch.cat([scaled, torch.zeros_like(scaled)], dim=1)
                without = predicted(networks.unet, blank, time, torch.zeros_like(embeddings[at:stop]))
                answer = without + s.guidance * (answer - without)
            latents = scheduler.step(answer, time, latents).prev_sample
        if len(done):
            share = torch.linspace(0, 1, overlap).reshape(-1, 1, 1, 1)
            done[-overlap:] = latents[:overlap] * share + done[-overlap:] * (1 - share)
            done = torch.cat([done, latents[overlap:]])
        else:
            done = latents
        at += window - overlap
    pictures = [networks.vae.decode(part / 0.18215, num_frames=len(part)).sample for part in done.split(s.chunk)]
    return (torch.cat(pictures) / 2 + 0.5).clamp(0, 1).mean(dim=1).numpy()


@pytest.mark.parametrize("total", [1, 4, 5, 9])
@pytest.mark.parametrize("guidance", [1.0, 1.2])
def test_it_computes_what_the_released_loop_computes(networks: Networks, total: int, guidance: float) -> None:
    sampling = Sampling(steps=2, guidance=guidance, window=4, overlap=2, chunk=3, long_side=64)
    clip = tiny.clip(total, 64, 64)
    model = DepthCrafter(networks, PLACE, sampling)
    parts = list(model.estimate(clip, size=Size(64, 64), watch=tiny.QUIET))
    expected = plain(networks, np.stack([clip.frame(t) for t in range(total)]), sampling)
    np.testing.assert_allclose(
        np.concatenate([p for _, p in parts]), expected, atol=2e-4
    )  # noise levels of 700 amplify rounding
    assert [first for first, _ in parts] == list(range(0, total, 3))


def test_frames_are_decoded_as_soon_as_no_window_changes_them(networks: Networks) -> None:
    clip = tiny.clip(40, 64, 64)
    parts = DepthCrafter(networks, PLACE, tiny.SAMPLING).estimate(clip, size=Size(8, 8), watch=tiny.QUIET)
    next(parts)
    assert max(clip.read) < 8
    list(parts)
    assert sorted(clip.read) == list(range(40)), "a frame is read and encoded once"


def test_other_seeds_give_another_depth_and_the_same_seed_the_same(networks: Networks) -> None:
    def depth(seed: int) -> np.ndarray:
        sampling = Sampling(steps=2, window=4, overlap=1, chunk=3, long_side=64, seed=seed)
        estimated = DepthCrafter(networks, PLACE, sampling).estimate(
            tiny.clip(3, 64, 64), size=Size(16, 16), watch=tiny.QUIET
        )
        return np.concatenate([part for _, part in estimated])

    assert np.array_equal(depth(1), depth(1)) and not np.allclose(depth(1), depth(2), atol=1e-4)


def test_cancelling_stops_between_denoising_steps(networks: Networks) -> None:
    told: list[tuple[int, int, str]] = []

    def check() -> None:
        if len(told) == 3:
            raise Cancelled("stop")

    watch = Watch(check=check, progress=lambda *news: told.append(news))
    with pytest.raises(Cancelled):
        list(DepthCrafter(networks, PLACE, tiny.SAMPLING).estimate(tiny.clip(9), size=Size(8, 8), watch=watch))
    assert told == [(1, 6, "denoising"), (2, 6, "denoising"), (3, 6, "denoising")]
