"""Trimask values and precedence (paper section 3.2)."""

import numpy as np

from services.trimask import scaled, trimask


def _masks() -> np.ndarray:
    masks = np.zeros((12, 30, 2), np.uint8)
    masks[4:8, 4:10, 0] = 255
    masks[4:8, 12:20, 1] = 255
    return masks


def test_background_run_removes_everything_and_is_unsure_elsewhere() -> None:
    result = trimask(_masks(), keep=())
    assert set(np.unique(result)) == {0.0, 0.5}
    assert result[5, 5] == result[5, 15] == 0


def test_solo_run_keeps_one_and_removal_wins_where_the_margins_meet() -> None:
    result = trimask(_masks(), keep=(0,), dilation=2)
    assert result[5, 5] == 1
    assert result[5, 15] == 0
    assert result[5, 9] == 1 and result[5, 10] == 0 and result[5, 11] == 0


def test_dilation_grows_by_its_radius() -> None:
    for radius in (0, 1, 3):
        assert (trimask(_masks()[..., :1], keep=(), dilation=radius) == 0).sum() == (4 + 2 * radius) * (6 + 2 * radius)


def test_preserve_regions_merge_in_but_never_save_a_removed_object() -> None:
    preserve = np.zeros((12, 30), np.uint8)
    preserve[:, 14:28] = 255
    result = trimask(_masks(), keep=(0,), preserve=preserve)
    assert result[0, 20] == 1
    assert result[5, 15] == 0


def test_thin_objects_survive_the_way_scaled_resolution() -> None:
    mask = np.zeros((384, 640), np.uint8)
    mask[100:300, 200:202] = 255
    assert scaled(mask, height=128, width=208).any()
