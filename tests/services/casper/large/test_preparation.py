"""Masks and lengths as the large Caspers know them, against the rules written out."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from services.casper.large.preparation import (
    NEUTRAL,
    area_frames,
    area_mask,
    padded,
    resized_mask,
    snapped,
    trimask,
)


def square(top: int, left: int, side: int, size: int = 48) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    mask[top : top + side, left : left + side] = 255
    return mask


def test_a_pixel_is_its_objects_only_where_nearly_covered() -> None:
    mask = np.zeros((8, 8), np.uint8)
    mask[:4, :4] = 255  # one whole pixel of 2x2
    mask[0, 4:] = 255  # a quarter of the next
    assert area_mask(mask, height=2, width=2).tolist() == [[255, 0], [0, 0]]
    mask[:4, 4:] = 255
    mask[3, 7] = 0  # 15 of 16 pixels: 239
    assert area_mask(mask, height=2, width=2)[0, 1] == 0
    mask[3, 7] = 16  # 240
    assert area_mask(mask, height=2, width=2)[0, 1] == 255


def test_every_mask_grows_by_five_pixels_and_remove_wins() -> None:
    masks = np.stack([square(16, 8, 8), square(16, 20, 8)], axis=-1)
    found = trimask(masks, keep=[0], height=48, width=48)
    wanted = np.full((48, 48), NEUTRAL, np.float32)
    wanted[11:29, 3:21] = 1
    wanted[11:29, 15:33] = 0
    assert np.array_equal(found, wanted)


def test_the_background_run_removes_all_and_keeps_nothing() -> None:
    masks = np.stack([square(16, 8, 8), square(16, 20, 8)], axis=-1)
    found = trimask(masks, keep=[], height=48, width=48)
    assert set(np.unique(found)) == {np.float32(0), np.float32(NEUTRAL)}
    assert np.float32(NEUTRAL) == pytest.approx(0.50196, abs=1e-5)


def test_a_preserve_region_is_kept_but_not_grown_and_gives_way_to_removal() -> None:
    found = trimask(square(16, 8, 8)[..., None], keep=[], height=48, width=48, preserve=square(0, 20, 48))
    assert (found[:, 21:] == 1).all() and (found[0, :20] == np.float32(NEUTRAL)).all()
    assert (found[11:29, 20] == 0).all()


def test_the_size_of_the_model_is_where_masks_grow() -> None:
    masks = square(0, 0, 48)[..., None].repeat(2, 0).repeat(2, 1)
    assert (trimask(masks, keep=[], height=48, width=48) == 0).all()


def test_frames_are_averaged_to_the_models_size() -> None:
    frames = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(1, 4, 4, 3)
    found = area_frames(frames, height=2, width=2)
    assert np.allclose(found[0, 0, 0], frames[0, :2, :2].mean(axis=(0, 1)) / 255, atol=1e-6)


@given(st.integers(1, 400))
def test_lengths_are_those_of_the_release(frames: int) -> None:
    length = padded(frames, at_least=85).length
    assert length >= max(frames, 85) and length % 8 == 5
    assert length < max(frames, 85) + 8


@pytest.mark.parametrize(
    "frames, length", [(1, 85), (85, 85), (86, 93), (93, 93), (94, 101), (150, 157), (190, 197), (197, 197)]
)
def test_measured_lengths(frames: int, length: int) -> None:
    assert padded(frames, at_least=85).length == length
    assert padded(frames, at_least=85).latents == length // 4 + 1


def test_wan_lengths() -> None:
    assert [padded(n, at_least=81).length for n in (50, 77, 78, 81, 85)] == [81, 81, 85, 85, 85]
    assert [padded(n, at_least=81, even_latents=False).length for n in (50, 81, 82)] == [81, 81, 85]


def test_padding_mirrors_with_the_last_frame_repeated_and_is_cut_off_again() -> None:
    padding = padded(3, at_least=13)
    assert padding.indices(0, 13).tolist() == [0, 1, 2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0]
    assert padding.indices(4, 7).tolist() == [1, 0, 0]
    parts = [(0, np.zeros((1, 2, 2, 3), np.float32)), (1, np.ones((8, 2, 2, 3), np.float32))]
    assert [(first, len(part)) for first, part in padding.trimmed([*parts, (9, parts[1][1])])] == [(0, 1), (1, 2)]


def test_a_latent_of_the_mask_is_the_mean_of_two_frames_and_four_pixels() -> None:
    """Latent j >= 1 averages frames 4j-2 and 4j-1, rows and columns 8i+3 and 8i+4; latent 0 is frame 0 alone."""
    mask = torch.rand(1, 1, 13, 16, 24, generator=torch.Generator().manual_seed(0))
    found = resized_mask(mask, size=(4, 2, 3))
    for j in range(4):
        frames = [0] if j == 0 else [4 * j - 2, 4 * j - 1]
        for y in range(2):
            for x in range(3):
                block = mask[0, 0, frames, 8 * y + 3 : 8 * y + 5, 8 * x + 3 : 8 * x + 5]
                assert found[0, 0, j, y, x] == pytest.approx(block.mean().item(), abs=1e-6)


def test_a_mask_in_the_first_or_last_frame_of_a_group_alone_vanishes() -> None:
    mask = torch.zeros(1, 1, 9, 8, 8)
    mask[:, :, [1, 4]] = 1
    assert resized_mask(mask, size=(3, 1, 1)).count_nonzero() == 0


def test_parts_of_a_clip_give_the_whole_clips_mask() -> None:
    mask = torch.rand(1, 1, 29, 16, 16, generator=torch.Generator().manual_seed(1))
    whole = resized_mask(mask, size=(8, 2, 2))
    parts = [
        resized_mask(mask[:, :, :13], size=(4, 2, 2)),
        resized_mask(mask[:, :, 13:21], size=(2, 2, 2), begins=False),
        resized_mask(mask[:, :, 21:], size=(2, 2, 2), begins=False),
    ]
    assert torch.equal(torch.cat(parts, dim=2), whole)


def test_values_are_snapped() -> None:
    values = torch.tensor([0.0, 0.2, 0.498, 0.5, 0.502, 0.75, 0.76, 1.0])
    assert snapped(values).tolist() == pytest.approx([0, 0, NEUTRAL, NEUTRAL, NEUTRAL, NEUTRAL, 1, 1])
