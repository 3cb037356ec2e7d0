"""Temporal multidiffusion: windows cover, weights sum to one, blending is exact and bounded."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.casper.windows import blend_weights, blended, plan_windows


@given(st.integers(1, 400), st.integers(2, 40), st.integers(0, 20))
def test_windows_cover_the_clip_with_the_asked_overlap(frames: int, window: int, overlap: int) -> None:
    assume(overlap < window)
    windows = plan_windows(frames, window=window, overlap=overlap)
    assert windows[0].start == 0 and windows[-1].stop == frames
    for left, right in pairwise(windows):
        assert left.start < right.start <= left.stop - overlap
    assert all(len(w) == min(window, frames) for w in windows)


@given(st.integers(1, 400), st.integers(2, 40), st.integers(0, 20))
def test_weights_sum_to_one_on_every_frame(frames: int, window: int, overlap: int) -> None:
    assume(overlap < window)
    windows = plan_windows(frames, window=window, overlap=overlap)
    total = np.zeros(frames)
    for w, weight in zip(windows, blend_weights(windows), strict=True):
        assert (weight > 0).all()
        total[w.start : w.stop] += weight
    assert np.allclose(total, 1, atol=1e-6)


@given(st.integers(1, 200), st.integers(2, 30), st.integers(0, 12), st.integers(0, 5))
def test_windows_that_agree_blend_to_what_they_agree_on(frames: int, window: int, overlap: int, seed: int) -> None:
    assume(overlap < window)
    video = np.random.default_rng(seed).random((frames, 2, 3)).astype(np.float32)
    windows = plan_windows(frames, window=window, overlap=overlap)
    results = (video[w.start : w.stop] for w in windows)
    parts = list(blended(windows, results, blend_weights(windows)))
    assert [first for first, _ in parts] == list(np.cumsum([0] + [len(p) for _, p in parts])[:-1])
    assert np.allclose(np.concatenate([p for _, p in parts]), video, atol=1e-5)


def test_no_frame_is_handed_out_before_the_last_window_that_adds_to_it() -> None:
    windows = plan_windows(100, window=16, overlap=4)
    read: list[int] = []

    def results():  # type: ignore[no-untyped-def]
        for w in windows:
            read.append(w.stop)
            yield np.ones((len(w), 1), np.float32)

    for i, (first, part) in enumerate(blended(windows, results(), blend_weights(windows))):
        assert len(read) == i + 1
        assert all(w.start >= first + len(part) for w in windows[i + 1 :])


def test_an_overlap_as_long_as_the_window_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap 4"):
        plan_windows(10, window=4, overlap=4)
