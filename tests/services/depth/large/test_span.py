"""Disparities become 0 far .. 1 near."""

import numpy as np
import pytest

from services.depth.large.estimator import Size
from services.depth.large.span import Ends, Shelf, Span


def test_the_whole_range_is_used_where_the_model_says_so() -> None:
    maps = np.random.default_rng(0).normal(5, 2, (6, 8, 9)).astype(np.float32)
    ends = Ends(whole=True)
    ends.add(maps[:4])
    ends.add(maps[4:])
    expected = (maps - maps.min()) / (maps.max() - maps.min())
    np.testing.assert_allclose(ends.span().apply(maps), expected, atol=1e-6)


def test_outliers_are_cut_off_otherwise() -> None:
    maps = np.random.default_rng(0).random((50, 40, 40), np.float32)
    maps[7, 3, 3], maps[9, 2, 2] = 1000, -1000
    ends = Ends(whole=False)
    ends.add(maps)
    span = ends.span()
    assert -0.05 < span.far < 0.05 and 0.95 < span.near < 1.05
    assert span.apply(maps).min() == 0 and span.apply(maps).max() == 1


@pytest.mark.parametrize("whole", [True, False])
def test_a_clip_without_depth_is_in_the_middle(whole: bool) -> None:
    ends = Ends(whole=whole)
    ends.add(np.full((2, 4, 4), 3, np.float32))
    assert (ends.span().apply(np.full((1, 4, 4), 3, np.float32)) == 0.5).all()


def test_the_span_is_open_to_both_sides() -> None:
    assert Span(1, 3).apply(np.array([[[0, 1, 2, 3, 9]]], np.float32)).tolist() == [[[0, 0, 0.5, 1, 1]]]


def test_the_shelf_gives_back_what_was_put() -> None:
    maps = np.random.default_rng(0).random((5, 3, 4), np.float32)
    shelf = Shelf(5, Size(3, 4))
    shelf.put(0, maps[:2])
    shelf.put(2, maps[2:])
    assert np.array_equal(shelf.get(1, 5), maps[1:])
