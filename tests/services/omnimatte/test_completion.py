"""What a mask does not say of an object that stood behind another."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from services.omnimatte.completion import completed
from tests.services.omnimatte.scene import texture

Array = NDArray[np.float32]
HEIGHT, WIDTH = 96, 160
_ROWS, _COLUMNS = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)


def disc(x: float, y: float, radius: float) -> Array:
    return np.clip(radius - np.hypot(_COLUMNS - x, _ROWS - y) + 0.5, 0, 1).astype(np.float32)


@pytest.fixture
def background() -> Array:
    return texture(np.random.default_rng(1), HEIGHT, WIDTH)


def solo(background: Array, ball: Array, *, shadow: float = 0.0) -> Array:
    """A red ball, and a shadow on its right that is as dark as `shadow`."""
    skin = 0.7 * texture(np.random.default_rng(2), HEIGHT, WIDTH) * np.array([1.0, 0.3, 0.2], np.float32)
    ground = background * (1 - shadow * disc(105, 60, 16)[..., None])
    return np.asarray(ball[..., None] * skin + (1 - ball[..., None]) * ground, np.float32)


def test_a_hidden_part_that_the_solo_video_shows_belongs_to_the_mask(background: Array) -> None:
    ball = disc(70, 50, 22)
    others = (_COLUMNS > 72).astype(np.float32) * (_COLUMNS < 130)
    own = ball * (1 - others)
    found = completed(solo(background, ball), background, own, others)
    assert found[(ball > 0.9)].mean() > 0.95
    assert found[ball < 0.01].mean() < 0.01


def test_a_shadow_under_the_other_object_s_mask_is_no_part_of_the_object(background: Array) -> None:
    ball = disc(70, 50, 22)
    others = (_COLUMNS > 84).astype(np.float32) * (_COLUMNS < 140)
    own = ball * (1 - others)
    found = completed(solo(background, ball, shadow=0.5), background, own, others)
    assert found[ball > 0.9].mean() > 0.9
    only_shadow = (disc(105, 60, 16) > 0.9) & (ball < 0.01)
    assert found[only_shadow].mean() < 0.2


def test_nothing_is_added_where_nothing_was_hidden(background: Array) -> None:
    ball = disc(40, 50, 20)
    frame = solo(background, ball)
    for others in (np.zeros_like(ball), disc(120, 40, 20)):
        assert np.array_equal(completed(frame, background, ball, others), ball)


def test_an_object_that_is_all_hidden_or_fills_the_frame_stays_as_it_is(background: Array) -> None:
    ball, nothing, everything = (
        disc(70, 50, 22),
        np.zeros((HEIGHT, WIDTH), np.float32),
        np.ones((HEIGHT, WIDTH), np.float32),
    )
    frame = solo(background, ball)
    assert np.array_equal(completed(frame, background, nothing, ball), nothing)
    assert np.array_equal(completed(frame, background, everything, ball), everything)


def test_the_same_frame_gives_the_same_mask(background: Array) -> None:
    ball = disc(70, 50, 22)
    others = (_COLUMNS > 72).astype(np.float32) * (_COLUMNS < 130)
    frame, own = solo(background, ball), ball * (1 - others)
    first = completed(frame, background, own, others)
    cv2.setRNGSeed(99)
    assert np.array_equal(completed(frame, background, own, others), first)
