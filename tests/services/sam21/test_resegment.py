"""Masks segmented anew on a solo video only gain, and are the same for the same mask."""

from __future__ import annotations

import numpy as np
import pytest

from services.errors import BadMask
from services.sam21.resegment import POINTS, completed, drawn, resegment
from services.sam21.segmenter import Segmenter
from tests.services.sam21 import tiny

SOLO = np.random.default_rng(5).integers(0, 255, (5, 48, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return tiny.segmenter(tiny.sam2_model())


def masks() -> np.ndarray:
    given = np.zeros((5, 48, 64), np.uint8)
    for t in range(5):
        given[t, 10:20, 10 : 20 + 4 * min(t, 3)] = 255
    return given


def test_points_lie_inside_the_largest_mask() -> None:
    prompts = drawn(masks())
    assert len(prompts) == POINTS and {p.frame for p in prompts} == {3}
    assert len({p.point for p in prompts}) == POINTS
    for prompt in prompts:
        assert prompt.point is not None
        x, y = map(int, prompt.point)
        assert masks()[3, y - 1 : y + 2, x - 1 : x + 2].all()


def test_a_mask_of_one_pixel_has_one_point() -> None:
    small = np.zeros((2, 8, 8), np.uint8)
    small[1, 0, 7] = 255
    (prompt,) = drawn(small)
    assert (prompt.frame, prompt.point) == (1, (7.0, 0.0))


def test_the_result_is_united_with_what_was_given(segmenter: Segmenter) -> None:
    found = resegment(SOLO, masks(), segmenter=segmenter)
    assert found.shape == masks().shape and found.dtype == np.uint8 and set(np.unique(found)) == {0, 255}
    assert (found >= masks()).all() and (found > masks()).any()
    assert (found == resegment(SOLO, masks(), segmenter=segmenter)).all()


def test_an_empty_mask_stays_empty(segmenter: Segmenter) -> None:
    assert not resegment(SOLO, np.zeros((5, 48, 64), np.uint8), segmenter=segmenter).any()


def test_masks_of_another_clip_are_refused(segmenter: Segmenter) -> None:
    with pytest.raises(BadMask, match="make both from one clip"):
        resegment(SOLO, masks()[:3], segmenter=segmenter)


def test_coverage_is_completed_and_never_less(segmenter: Segmenter) -> None:
    own = np.where(masks() > 0, 0.9, 0.2).astype(np.float32)
    whole = completed((SOLO / 255).astype(np.float32), own, segmenter=segmenter)
    assert whole.dtype == np.float32 and (whole >= own).all() and (whole[own < 0.5] == 1).any()
