"""A pixel belongs to one object."""

import numpy as np
from hypothesis import given
from hypothesis.extra.numpy import arrays

from services.tracks import disjoint


@given(arrays(np.bool_, (2, 3, 4, 3)))
def test_overlaps_go_to_the_later_object_and_nothing_else_changes(drawn: np.ndarray) -> None:
    masks = np.where(drawn, 255, 0).astype(np.uint8)
    result = disjoint(masks)
    assert ((result > 0).sum(axis=-1) <= 1).all()
    assert np.array_equal(result.max(axis=-1), masks.max(axis=-1))
    assert np.array_equal(result[..., 2], masks[..., 2])
