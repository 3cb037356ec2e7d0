"""The arithmetic of layers."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from services.compositing import PERFECT_DB, checkerboard, composite, over, psnr, transmissions

unit = st.floats(0, 1, width=32)
colors = arrays(np.float32, (2, 3, 3), elements=unit)
alphas = arrays(np.float32, (2, 3, 1), elements=unit)


@settings(max_examples=40)
@given(colors, colors)
def test_an_opaque_front_hides_and_a_clear_one_shows_what_is_behind(front, back):
    ones = np.ones((2, 3, 1), np.float32)
    assert np.allclose(over(front, ones, back), front, atol=1e-6)
    assert np.array_equal(over(front, 0 * ones, back), back)


@settings(max_examples=40)
@given(st.lists(st.tuples(colors, alphas), min_size=0, max_size=4), colors)
def test_a_composite_is_the_sum_of_what_each_transmission_lets_through(layers, background):
    front = [alpha for _, alpha in layers]
    passing = transmissions(front) if layers else [np.ones((2, 3, 1), np.float32)]
    parts = sum((t * a * c for t, (c, a) in zip(passing, layers, strict=False)), passing[-1] * background)
    assert np.allclose(composite([c for c, _ in layers], front, background), parts, atol=1e-5)


@settings(max_examples=40)
@given(st.lists(alphas, min_size=1, max_size=4))
def test_transmission_never_grows_with_depth(layers):
    passing = transmissions(layers)
    assert len(passing) == len(layers) + 1 and np.all(passing[0] == 1)
    assert all(np.all(later <= earlier) for earlier, later in pairwise(passing))


def test_checkerboard_alternates_from_a_light_corner():
    board = checkerboard(8, 8, cell=4, light=1.0, dark=0.0)
    assert board.shape == (8, 8, 3)
    assert board[0, 0, 0] == board[4, 4, 0] == 1 and board[0, 4, 0] == board[4, 0, 0] == 0


def test_psnr_matches_its_definition():
    a = np.zeros((4, 4, 3), np.uint8)
    assert psnr(a, a, peak=255) == PERFECT_DB
    assert psnr(a, a + 1, peak=255) == pytest.approx(48.1308, abs=1e-4)
