"""Depth over time: flicker goes, edges and gaps stay."""

import numpy as np
import pytest

from services.depth.smoothing import median_of_three, smooth_tracks


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_as_many_maps_come_out_as_went_in(count: int) -> None:
    maps = [np.full((2, 3), t, np.float32) for t in range(count)]
    made = list(median_of_three(iter(maps)))
    assert len(made) == count
    for before, after in zip(maps, made, strict=True):
        assert np.array_equal(before, after)


def test_a_single_odd_map_is_outvoted() -> None:
    maps = [np.full((2, 2), value, np.float32) for value in (0.4, 0.4, 0.9, 0.4, 0.4)]
    assert all(np.allclose(m, 0.4) for m in median_of_three(iter(maps)))


def test_a_step_in_time_is_not_smeared() -> None:
    maps = [np.full((1, 1), value, np.float32) for value in (0.1, 0.1, 0.1, 0.8, 0.8, 0.8)]
    assert [round(float(m[0, 0]), 3) for m in median_of_three(iter(maps))] == [0.1, 0.1, 0.1, 0.8, 0.8, 0.8]


def test_tracks_get_steadier_and_keep_their_level() -> None:
    noisy = (0.5 + np.random.default_rng(0).normal(0, 0.1, (60, 1))).astype(np.float32)
    made = smooth_tracks(noisy)
    assert np.diff(made, axis=0).std() < 0.3 * np.diff(noisy, axis=0).std()
    assert abs(float(made.mean()) - 0.5) < 0.05


def test_unseen_frames_stay_unseen_and_have_no_say() -> None:
    depths = np.array([[0.3], [np.nan], [0.3], [np.nan], [0.3]], np.float32)
    made = smooth_tracks(depths)
    assert np.array_equal(np.isnan(made), np.isnan(depths))
    assert np.allclose(made[~np.isnan(made)], 0.3)
