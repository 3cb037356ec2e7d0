"""The network of the fast schedules: what it is before anything was learned, and what always holds of it."""

from __future__ import annotations

import pytest
import torch

from services.omnimatte.unet import WEIGHTS, exact, inexact, load


def _frames(height: int, width: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.rand(2, channels, height, width, generator=generator) for channels in (3, 3, 1, 1))


@torch.inference_mode()
def test_without_weights_alpha_is_the_guess() -> None:
    solo, background, guess, own = _frames(32, 48)
    guess[..., :8], guess[..., 8:16] = 0, 1
    assert torch.allclose(exact(load(None)(solo, background, guess, own)), exact(guess.clamp(0.01, 0.99)), atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("size", [(1, 1), (17, 31), (48, 80)])
def test_any_size_gives_alpha_of_that_size(size: tuple[int, int]) -> None:
    alpha = load(WEIGHTS)(*_frames(*size))
    assert alpha.shape == (2, 1, *size)
    assert ((alpha > 0) & (alpha < 1)).all()


def test_opening_the_ends_is_undone_by_closing_them() -> None:
    alpha = torch.linspace(0, 1, 11)
    assert torch.allclose(exact(inexact(alpha)), alpha, atol=1e-6)
    assert exact(torch.tensor([0.011, 0.989])).tolist() == [0, 1]
