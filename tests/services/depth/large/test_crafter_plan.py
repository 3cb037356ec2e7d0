"""DepthCrafter's windows against the published loop, blending, and pieces for the decoder."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from services.depth.large.crafter_plan import chunked, faded, plan


def plain_plan(total: int, window: int, overlap: int) -> list[tuple[int, int]]:
    if total <= window:
        window, overlap = total, 0
    found, start = [], 0
    while start < total - overlap:
        found.append((start, min(start + window, total)))
        start += window - overlap
    return found


@given(st.integers(1, 1000), st.integers(2, 120), st.data())
def test_the_plan_is_the_published_one(total: int, window: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, window - 1))
    windows = plan(total, window=window, overlap=overlap)
    assert [(w.start, w.stop) for w in windows] == plain_plan(total, window, overlap)


@given(st.integers(1, 1000), st.integers(2, 120), st.data())
def test_windows_cover_every_frame_and_share_what_they_say(total: int, window: int, data: st.DataObject) -> None:
    windows = plan(total, window=window, overlap=data.draw(st.integers(0, window - 1)))
    assert windows[0].start == 0 and windows[0].shared == 0 and windows[-1].stop == total
    for before, after in pairwise(windows):
        assert before.stop - after.start == after.shared < len(after)


@pytest.mark.parametrize(("window", "overlap"), [(4, 4), (4, -1), (4, 9)])
def test_an_overlap_as_long_as_the_window_is_refused(window: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="overlap"):
        plan(10, window=window, overlap=overlap)


@pytest.mark.parametrize("shared", [1, 2, 25])
def test_fading_goes_linearly_and_its_weights_sum_to_one(shared: int) -> None:
    before, after = torch.rand(shared, 4, 2, 3), torch.rand(shared, 4, 2, 3)
    made = faded(before, after)
    for i in range(shared):
        share = i / max(shared - 1, 1)
        torch.testing.assert_close(made[i], before[i] * (1 - share) + after[i] * share)
    torch.testing.assert_close(faded(before, before), before)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 10))
def test_pieces_for_the_decoder_count_from_the_clips_start(lengths: list[int], size: int) -> None:
    total = sum(lengths)
    frames = torch.arange(total)[:, None]
    parts = list(chunked(iter((0, part) for part in frames.split(lengths)), size))
    assert [first for first, _ in parts] == list(range(0, total, size))
    assert all(len(part) == size for _, part in parts[:-1])
    assert torch.equal(torch.cat([part for _, part in parts]), frames)
