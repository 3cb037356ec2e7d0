"""What Wan is told, against the formulas of the release written out."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from services.casper.wan.conditions import stacked, wan_mask

REMOVE, UNSURE, KEEP = 0.0, 128 / 255, 1.0


def trimask(frames: int, seed: int = 0) -> Tensor:
    """[1, 1, frames, 32, 48] of the three values."""
    drawn = torch.randint(0, 3, (1, 1, frames, 32, 48), generator=torch.Generator().manual_seed(seed))
    return torch.tensor([REMOVE, UNSURE, KEEP])[drawn]


def test_mask_channels_are_those_of_the_release() -> None:
    given = trimask(13)
    # The release keeps the inverse (remove 1, unsure 127/255, keep 0) up to here.
    inverse = 1 - given
    repeated = torch.cat([torch.repeat_interleave(inverse[:, :, 0:1], repeats=4, dim=2), inverse[:, :, 1:]], dim=2)
    folded = repeated.view(1, 4, 4, 32, 48).transpose(1, 2)
    first = F.interpolate((1 - folded)[:, :, :1], size=(1, 4, 6), mode="trilinear", align_corners=False)
    rest = F.interpolate((1 - folded)[:, :, 1:], size=(3, 4, 6), mode="trilinear", align_corners=False)
    found = wan_mask(given, size=(4, 4, 6))
    assert found.shape == (1, 4, 4, 4, 6)
    assert (found - torch.cat([first, rest], dim=2)).abs().max() < 1e-6


def test_values_are_not_scaled() -> None:
    for value in (REMOVE, UNSURE, KEEP):
        assert wan_mask(torch.full((1, 1, 5, 16, 16), value), size=(2, 2, 2)).mean().item() == pytest.approx(
            value, abs=1e-6
        )
    assert pytest.approx(0.50196, abs=1e-5) == UNSURE


def test_every_frame_of_a_latent_has_its_channel_and_the_first_frame_all_four() -> None:
    frames = torch.tensor([1.0, 0, 0, 1, 0, UNSURE, 1, 1, 0])[None, None, :, None, None].expand(1, 1, 9, 8, 8)
    channels = wan_mask(frames, size=(3, 1, 1))[0, :, :, 0, 0]
    wanted = torch.tensor([[1, 1, 1, 1], [0, 0, 1, 0], [UNSURE, 1, 1, 0]])
    assert torch.allclose(channels.T, wanted)


def test_of_eight_by_eight_pixels_the_middle_four_count() -> None:
    def seen(row: int, column: int) -> float:
        frame = torch.zeros(1, 1, 1, 8, 8)
        frame[..., row, column] = 1
        return wan_mask(frame, size=(1, 1, 1)).sum().item() / 4

    assert seen(3, 4) == pytest.approx(0.25)
    assert seen(0, 0) == seen(2, 3) == 0


def test_parts_give_what_the_whole_gives() -> None:
    given = trimask(13)
    parts = [
        wan_mask(given[:, :, :5], size=(2, 4, 6)),
        wan_mask(given[:, :, 5:], size=(2, 4, 6), begins=False),
    ]
    assert torch.allclose(torch.cat(parts, dim=2), wan_mask(given, size=(4, 4, 6)))
    with pytest.raises(ValueError, match="4k"):
        wan_mask(given[:, :, :6], size=(2, 4, 6))


def test_noise_comes_first_then_mask_then_video() -> None:
    noisy, mask, video = torch.zeros(2, 16, 3, 4, 6), torch.ones(2, 4, 3, 4, 6), torch.full((1, 16, 3, 4, 6), 2.0)
    channels = stacked(noisy, mask, video)
    assert channels.shape == (2, 36, 3, 4, 6)
    assert channels[1, :, 0, 0, 0].tolist() == [0] * 16 + [1] * 4 + [2] * 16
