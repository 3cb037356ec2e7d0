"""Wan's VAE piece by piece, against the whole clip."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from services.casper.wan import tiny
from services.casper.wan.vae import WanVae

FRAMES = 21


@pytest.fixture(scope="module")
def clip() -> Tensor:
    return torch.rand(1, 3, FRAMES, 32, 48, generator=torch.Generator().manual_seed(3)) * 2 - 1


def statistics(model: object) -> tuple[Tensor, Tensor]:
    config = model.config  # type: ignore[attr-defined]
    return (
        torch.tensor(config.latents_mean).reshape(1, 16, 1, 1, 1),
        torch.tensor(config.latents_std).reshape(1, 16, 1, 1, 1),
    )


@pytest.mark.parametrize("piece", [1, 3])
@pytest.mark.parametrize("cuts", [(21,), (1, 7, 2, 11), (9, 12)])
def test_latents_are_the_whole_clips_normalised(clip: Tensor, piece: int, cuts: tuple[int, ...]) -> None:
    model = tiny.tiny_vae()
    mean, spread = statistics(model)
    whole = (model.encode(clip).latent_dist.mode() - mean) / spread
    parts = torch.cat(list(WanVae(model, piece=piece).encode(clip.split(cuts, dim=2))), dim=2)
    assert parts.shape == (1, 16, 6, 4, 6)
    assert parts.dtype == torch.float32
    assert (parts - whole).abs().max() < 2e-6


@pytest.mark.parametrize("piece", [1, 3])
@pytest.mark.parametrize("cuts", [(6,), (3, 1, 2)])
def test_frames_are_the_whole_clips(clip: Tensor, piece: int, cuts: tuple[int, ...]) -> None:
    model = tiny.tiny_vae()
    mean, spread = statistics(model)
    latents = torch.randn(1, 16, 6, 4, 6, generator=torch.Generator().manual_seed(4))
    whole = model.decode(latents * spread + mean).sample
    parts = list(WanVae(model, piece=piece).decode(latents.split(cuts, dim=2)))
    assert parts[0].shape[2] == 1
    assert torch.cat(parts, dim=2).shape == clip.shape
    # Other lengths take other kernels on some processors, which add up in another order.
    assert (torch.cat(parts, dim=2) - whole).abs().max() < 1e-4


def test_one_latent_is_worked_on_at_a_time(clip: Tensor) -> None:
    lengths = [part.shape[2] for part in WanVae(tiny.tiny_vae()).encode([clip])]
    assert lengths == [1] * 6
    frames = [part.shape[2] for part in WanVae(tiny.tiny_vae()).decode([torch.zeros(1, 16, 6, 4, 6)])]
    assert frames == [1, 4, 4, 4, 4, 4]


def test_two_clips_at_once_do_not_mix(clip: Tensor) -> None:
    vae = WanVae(tiny.tiny_vae())
    alone = list(vae.encode([clip]))
    first, second = vae.encode([clip]), vae.encode([clip.flip(2)])
    together = [part for pair in zip(first, second, strict=True) for part in pair][::2]
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_frames_that_make_no_latent_are_an_error(clip: Tensor) -> None:
    with pytest.raises(ValueError, match="3 frames are left over"):
        list(WanVae(tiny.tiny_vae()).encode([clip[:, :, :20]]))
