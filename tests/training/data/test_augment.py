"""What is done to one variant of a clip is done to all, and nothing is invented."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data import augment

SEEDS = st.integers(0, 2**16)


@settings(max_examples=40)
@given(total=st.integers(1, 9), length=st.integers(1, 30), start=st.integers(0, 8))
def test_reflective_padding_walks_by_single_steps_and_stays_inside(total: int, length: int, start: int) -> None:
    indices = augment.reflect(total, length, start=start % total)
    assert len(indices) == length and indices[0] == start % total
    assert indices.min() >= 0 and indices.max() < total
    assert set(np.abs(np.diff(indices))) <= ({0} if total == 1 else {1})


@settings(max_examples=20)
@given(seed=SEEDS, flip_x=st.booleans(), flip_t=st.booleans())
def test_flips_undo_themselves(seed: int, flip_x: bool, flip_t: bool) -> None:
    clip = np.random.default_rng(seed).random((3, 6, 8, 3))
    cut = augment.Cut(0, 0, 6, 8, flip_x, flip_t)
    assert np.array_equal(cut(cut(clip)), clip)


def test_a_crop_that_leaves_the_clip_is_refused() -> None:
    with pytest.raises(ValueError, match="leaves"):
        augment.Cut(4, 0, 4, 4)(np.zeros((1, 6, 6, 3)))


@settings(max_examples=20)
@given(seed=SEEDS)
def test_light_keeps_equal_pixels_equal_and_stays_in_range(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, where = rng.random((2, 4, 4, 3), dtype=np.float32), rng.random((2, 4, 4)) < 0.5
    second = np.where(where[..., None], first, rng.random((2, 4, 4, 3), dtype=np.float32))
    light = augment.Light.random(rng)
    made = light(first), light(second)
    assert np.array_equal(made[0][where], made[1][where])
    assert made[0].min() >= 0 and made[0].max() <= 1


@settings(max_examples=30)
@given(seed=SEEDS)
def test_a_white_patch_never_touches_what_changes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    unchanged = np.ones((2, 32, 32), bool)
    unchanged[1, 10:14, 10:14] = False
    patch = augment.white_patch(unchanged, rng, chance=1.0)
    assert patch is None or (not patch[10:14, 10:14].any() and set(np.unique(patch)) == {0, 255})


@settings(max_examples=20)
@given(seed=SEEDS)
def test_ken_burns_never_shows_beyond_the_edge(seed: int) -> None:
    maps = augment.ken_burns(5, source=(24, 40), size=(16, 28), rng=np.random.default_rng(seed))
    inverse = np.linalg.inv(np.concatenate([maps, np.tile([[[0.0, 0, 1]]], (5, 1, 1))], axis=1))
    corners = inverse @ np.array([[-0.5, -0.5, 1], [27.5, 15.5, 1]]).T
    assert corners[:, :2].min() >= -0.5 - 1e-6
    assert corners[:, 0].max() <= 39.5 + 1e-6 and corners[:, 1].max() <= 23.5 + 1e-6


def test_masks_stay_masks_when_they_move() -> None:
    rng = np.random.default_rng(0)
    masks = np.where(rng.random((4, 24, 40, 2)) > 0.5, 255, 0).astype(np.uint8)
    maps = augment.ken_burns(4, source=(24, 40), size=(16, 28), rng=rng)
    moved = augment.move(masks, maps, size=(16, 28), nearest=True)
    assert moved.shape == (4, 16, 28, 2) and set(np.unique(moved)) <= {0, 255}
    assert augment.rough_masks(masks, rng).shape == masks.shape
