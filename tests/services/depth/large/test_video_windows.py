"""Video-Depth-Anything's windows: plan and joining against plain formulas, and that every frame comes once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.depth.large.video_windows import WINDOW, joined, plan, scale_and_shift

KEYS = [0, 12, 24, 25, 26, 27, 28, 29, 30, 31]


def plain_plan(total: int) -> list[list[int]]:
    """The published loop in plain words: pad with the last frame, step 22, put the key frames first."""
    padded = list(range(total)) + [total - 1] * ((22 - total % 22) % 22 + 10)
    windows: list[list[int]] = []
    for start in range(0, total, 22):
        window = padded[start : start + 32]
        if windows:
            window[:10] = [windows[-1][k] for k in KEYS]
        windows.append(window)
    return windows


def plain_joined(results: np.ndarray, total: int) -> np.ndarray:
    """The published alignment in plain words, with least squares by NumPy."""
    done = [frame.astype(np.float64) for frame in results[0]]
    keys = [results[0][0], results[0][12]]
    for result in results[1:]:
        inputs = np.stack([result[:2].ravel(), np.ones(result[:2].size)], axis=1)
        (scale, shift), *_ = np.linalg.lstsq(inputs.astype(np.float64), np.stack(keys).ravel(), rcond=None)
        aligned = np.maximum(result * scale + shift, 0)
        for i in range(8):
            done[len(done) - 8 + i] = done[len(done) - 8 + i] * (1 - i / 7) + aligned[2 + i] * (i / 7)
        done += list(aligned[10:])
        keys = [keys[0], aligned[12]]
    return np.stack(done[:total])


@given(st.integers(1, 400))
def test_the_plan_is_the_published_one(total: int) -> None:
    assert [list(window) for window in plan(total)] == plain_plan(total)


@given(st.integers(1, 400))
def test_every_frame_is_shown(total: int) -> None:
    windows = plan(total)
    assert {t for window in windows for t in window} == set(range(total))
    assert all(len(window) == WINDOW for window in windows)


@pytest.mark.parametrize("total", [1, 2, 22, 23, 32, 44, 45, 66, 100])
def test_joining_is_the_published_one(total: int) -> None:
    results = np.random.default_rng(total).random((len(plan(total)), 32, 3, 4)).astype(np.float32)
    parts = list(joined(iter(results), total))
    np.testing.assert_allclose(np.concatenate([p for _, p in parts]), plain_joined(results, total), atol=1e-5)


@settings(max_examples=40)
@given(st.integers(1, 200))
def test_every_frame_comes_once_and_in_order(total: int) -> None:
    results = (np.ones((32, 1, 1), np.float32) for _ in plan(total))
    numbers = [first + i for first, part in joined(results, total) for i in range(len(part))]
    assert numbers == list(range(total))


@pytest.mark.parametrize("total", [23, 60, 120])
def test_windows_in_other_scales_give_one_steady_clip(total: int) -> None:
    truth = np.random.default_rng(0).random((total, 4, 5)).astype(np.float32) + 1
    random = np.random.default_rng(1)
    results = [truth[list(window)] * random.uniform(0.5, 2) + random.uniform(0, 1) for window in plan(total)]
    made = np.concatenate([part for _, part in joined(iter(results), total)])
    scale, shift = scale_and_shift(truth[:1], made[:1])
    np.testing.assert_allclose(made, truth * scale + shift, atol=1e-4)


def test_equal_windows_are_blended_by_weights_that_sum_to_one() -> None:
    results = [np.broadcast_to(np.arange(6, dtype=np.float32).reshape(2, 3), (32, 2, 3))] * 4
    made = np.concatenate([part for _, part in joined(iter(results), 80)])
    np.testing.assert_allclose(made, np.broadcast_to(results[0][:1], made.shape), atol=1e-5)


def test_a_flat_window_keeps_its_scale() -> None:
    assert scale_and_shift(np.full((2, 3, 3), 5, np.float32), np.ones((2, 3, 3), np.float32)) == (1.0, 0.0)
