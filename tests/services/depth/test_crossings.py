"""Where two objects cross, what hides is nearer, whatever their depths were said to be."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.depth import occlusion
from services.depth.crossings import settled

Bytes = NDArray[np.uint8]
SIZE = (64, 112)


def texture(seed: int) -> Bytes:
    noise = np.random.default_rng(seed).normal(0, 1, SIZE)
    smooth = np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.2))
    return np.clip(128 + 60 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def crossing(front: int, *, frames: int = 12, speed: float = 3.0) -> tuple[Bytes, Bytes]:
    """greys [T, h, w] and masks [T, h, w, 2]: a disc moves right across a resting disc; object `front` hides the
    other."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    greys, masks = [], []
    for t in range(frames):
        left = round(28 + speed * t)
        discs = [(x - left) ** 2 + (y - 32) ** 2 < 14**2, (x - 62) ** 2 + (y - 34) ** 2 < 14**2]
        discs[1 - front] &= ~discs[front]
        grey = texture(1).copy()
        for disc, paint in zip(discs, (np.roll(texture(2), left, axis=1), texture(3)), strict=True):
            grey[disc] = paint[disc]
        greys.append(grey)
        masks.append(np.stack(discs, -1) * np.uint8(255))
    return np.stack(greys), np.stack(masks).astype(np.uint8)


@pytest.mark.parametrize("front", [0, 1])
def test_motion_shows_who_hides_whom(front: int) -> None:
    covered = occlusion.coverage(*crossing(front)).sum(axis=0)
    assert covered[1 - front, front] > 3 * covered[front, 1 - front]


@pytest.mark.parametrize("front", [0, 1])
def test_the_hidden_object_looks_bitten_into(front: int) -> None:
    _, masks = crossing(front)
    bites = occlusion.bites(masks[8])
    assert bites[1 - front, front] > bites[front, 1 - front]


@pytest.mark.parametrize("front", [0, 1])
def test_depths_follow_what_is_seen_against_a_vague_guess(front: int) -> None:
    greys, masks = crossing(front)
    depths = np.full((len(greys), 2), 0.5, np.float32)
    depths[:, front] -= 0.04
    fixed = settled(depths, greys, masks)
    met = [occlusion.touching(frame)[0, 1] for frame in masks]
    assert any(met) and not all(met)
    assert (fixed[met, front] > fixed[met, 1 - front]).all()
    assert (fixed[np.logical_not(met)] == depths[np.logical_not(met)]).all()


def test_objects_that_never_touch_and_empty_clips_are_left_alone() -> None:
    greys, masks = crossing(0, frames=2, speed=0)
    depths = np.array([[0.2, 0.7], [0.2, np.nan]], np.float32)
    assert np.array_equal(settled(depths, greys, masks), depths, equal_nan=True)
    assert settled(depths[:0], greys[:0], masks[:0]).shape == (0, 2)


@settings(max_examples=40)
@given(st.integers(0, 30), st.integers(0, 4))
def test_touching_is_symmetric_and_within_reach(gap: int, reach: int) -> None:
    masks = np.zeros((20, 60, 2), np.uint8)
    masks[5:15, 5:15, 0] = 255
    masks[5:15, 15 + gap : 25 + gap, 1] = 255
    met = occlusion.touching(masks, reach=reach)
    assert met[0, 1] == met[1, 0] == (gap + 1 <= reach) and not met.diagonal().any()
