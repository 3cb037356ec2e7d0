"""The tracker over small random networks: shapes, directions, corrections, bounded memory, previews."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from services.errors import BadPrompt, Cancelled
from services.sam21.preview import Preview
from services.sam21.prompts import Prompt
from services.sam21.segmenter import Segmenter
from services.sam21.tracking import track
from tests.services.sam21 import tiny

HEIGHT, WIDTH = 48, 64
BOX = (10.0, 5.0, 40.0, 30.0)


def clip(length: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 255, (length, HEIGHT, WIDTH, 3), np.uint8)


def follow(segmenter: Segmenter, prompts: Sequence[Prompt], *, length: int = 8, objects: int = 1) -> np.ndarray:
    out = np.full((length, HEIGHT, WIDTH, objects), 1, np.uint8)
    for t, masks in track(clip(length), prompts, labels=[str(k) for k in range(objects)], segmenter=segmenter):
        assert (out[t] == 1).all(), "every frame comes once"
        out[t] = masks
    return out


@pytest.fixture(scope="module", params=["sam2", "edgetam"])
def segmenter(request: pytest.FixtureRequest) -> Segmenter:
    return tiny.segmenter(tiny.sam2_model() if request.param == "sam2" else tiny.edgetam_model())


@pytest.fixture(scope="module")
def sam2() -> Segmenter:
    return tiny.segmenter(tiny.sam2_model())


def test_masks_are_one_per_object_at_native_size_and_never_overlap(segmenter: Segmenter) -> None:
    prompts = [Prompt(0, 2, point=(20, 20)), Prompt(1, 5, box=BOX), Prompt(2, 0, mask=np.eye(HEIGHT, WIDTH))]
    masks = follow(segmenter, prompts, objects=3)
    assert set(np.unique(masks)) <= {0, 255} and (masks > 0).any((0, 1, 2)).all()
    assert ((masks > 0).sum(-1) <= 1).all()


def test_the_same_request_gives_the_same_masks(segmenter: Segmenter) -> None:
    prompts = [Prompt(0, 2, point=(20, 20)), Prompt(1, 5, box=BOX)]
    assert (follow(segmenter, prompts, objects=2) == follow(segmenter, prompts, objects=2)).all()


def test_a_mask_alone_is_taken_as_it_is_and_beside_a_click_is_refined(sam2: Segmenter) -> None:
    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
    drawn[9:33, 16:40] = 255
    alone = follow(sam2, [Prompt(0, 3, mask=drawn)])[3, ..., 0]
    assert (alone > 0).sum() == pytest.approx((drawn > 0).sum(), rel=0.1)
    assert ((alone > 0) & (drawn > 0)).sum() > 0.9 * (drawn > 0).sum()
    click = Prompt(0, 3, point=(20, 20))
    clicked, both = follow(sam2, [click])[3], follow(sam2, [click, Prompt(0, 3, mask=drawn)])[3]
    assert (both[..., 0] != alone).any() and (both != clicked).any()


@pytest.mark.parametrize("more", [Prompt(0, 0, point=(50, 40)), Prompt(0, 0, point=(12, 8), positive=False)])
def test_every_click_counts(segmenter: Segmenter, more: Prompt) -> None:
    one = [Prompt(0, 0, box=BOX)]
    assert (follow(segmenter, one, length=1) != follow(segmenter, [*one, more], length=1)).any()


def test_a_track_goes_both_ways_from_its_frame(segmenter: Segmenter) -> None:
    order = [t for t, _ in track(clip(6), [Prompt(0, 3, box=BOX)], labels=["a"], segmenter=segmenter)]
    assert order == [3, 4, 5, 2, 1, 0]
    # What lies before the frame is no part of the way forward, and the other way round for a clip played backward.
    whole, tail = follow(segmenter, [Prompt(0, 3, box=BOX)], length=6), []
    tail = [m for _, m in track(clip(6)[3:], [Prompt(0, 0, box=BOX)], labels=["a"], segmenter=segmenter)]
    assert np.mean(whole[3:] != np.stack(tail)) < 0.02


def test_objects_that_start_on_different_frames_do_not_change_each_other(sam2: Segmenter) -> None:
    first, second = Prompt(0, 1, box=BOX), Prompt(0, 6, point=(50, 40))
    together = follow(sam2, [first, Prompt(1, 6, point=(50, 40))], objects=2) > 0
    alone = [follow(sam2, [first])[..., 0] > 0, follow(sam2, [second])[..., 0] > 0]
    for k in range(2):
        assert not (together[..., k] & ~alone[k]).any()
    # Logits that wait for the other object are rounded to half precision.
    assert np.mean(together.any(-1) != (alone[0] | alone[1])) < 1e-3


def test_a_correction_changes_its_frame_and_later_ones_and_none_before(segmenter: Segmenter) -> None:
    box = Prompt(0, 0, box=BOX)
    before = follow(segmenter, [box])
    after = follow(segmenter, [box, Prompt(0, 4, point=(55, 40)), Prompt(0, 4, point=(15, 10), positive=False)])
    assert (before[:4] == after[:4]).all()
    assert all((before[t] != after[t]).any() for t in range(4, 8))


def test_a_correction_before_the_start_changes_earlier_frames(sam2: Segmenter) -> None:
    box = Prompt(0, 6, box=BOX)
    before, after = follow(sam2, [box]), follow(sam2, [box, Prompt(0, 3, point=(55, 40))])
    assert (before[4:] == after[4:]).all()
    assert (before[3] != after[3]).any() and (before[0] != after[0]).any()


def test_a_box_on_a_later_frame_is_known_from_the_beginning(sam2: Segmenter) -> None:
    box = Prompt(0, 0, box=BOX)
    later = Prompt(0, 5, box=(30, 20, 60, 44))
    before, after = follow(sam2, [box]), follow(sam2, [box, later])
    assert (after[5] == follow(sam2, [later])[5]).all()
    assert (before[0] == after[0]).all() and (before[2] != after[2]).any()


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_preview_is_what_the_full_run_gives_on_that_frame(precision: torch.dtype) -> None:
    model = tiny.segmenter(tiny.sam2_model(), precision)
    prompts = [Prompt(0, 2, point=(20, 20)), Prompt(0, 2, point=(50, 9), positive=False), Prompt(1, 2, box=BOX)]
    preview = Preview(clip(8), model).masks(2, prompts, labels=["a", "b"])
    assert (preview == follow(model, prompts, objects=2)[2]).all()


def test_a_second_click_costs_only_the_decoder(sam2: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []
    embed = sam2.embed
    monkeypatch.setattr(sam2, "embed", lambda frame: (encoded.append(1), embed(frame))[1])
    preview = Preview(clip(8), sam2)
    clicks = [Prompt(0, 2, point=(20, 20)), Prompt(0, 2, point=(50, 9), positive=False)]
    one, two = (preview.masks(2, clicks[:n], labels=["a"]) for n in (1, 2))
    assert len(encoded) == 1 and (one != two).any()
    assert (two == Preview(clip(8), sam2).masks(2, clicks, labels=["a"])).all()


def test_a_preview_without_a_statement_on_its_frame_is_refused(sam2: Segmenter) -> None:
    with pytest.raises(BadPrompt, match="object a has no box"):
        Preview(clip(3), sam2).masks(1, [Prompt(0, 0, box=BOX)], labels=["a"])


def test_the_state_does_not_grow_with_the_clip() -> None:
    # A model that looks back less far has all it keeps after 20 frames.
    model = tiny.sam2_model()
    model.config.max_object_pointers_in_encoder = 6
    segmenter = tiny.segmenter(model)
    prompts = [Prompt(0, 2, box=BOX)]
    short, long = (_peak(segmenter, prompts, length=n) for n in (20, 60))
    assert short == long > 0


def _peak(segmenter: Segmenter, prompts: Sequence[Prompt], *, length: int) -> int:
    """The most bytes of tensors that live between two frames."""
    gc.collect()
    gc.freeze()  # what exists before does not count
    try:
        peak = 0
        for _ in track(clip(length), prompts, labels=["a"], segmenter=segmenter):
            peak = max(peak, _bytes())
        return peak
    finally:
        gc.unfreeze()


def _bytes() -> int:
    tensors = [x for x in gc.get_objects() if issubclass(type(x), torch.Tensor)]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def test_frames_are_read_in_ranges_and_never_the_whole_clip(sam2: Segmenter) -> None:
    class Chunked:
        shape = (14, HEIGHT, WIDTH, 3)
        chunks = (4, HEIGHT, WIDTH, 3)

        def __init__(self) -> None:
            self.read: list[tuple[int, int]] = []

        def __getitem__(self, frames: slice) -> Any:
            self.read.append((frames.start, frames.stop))
            return clip(14)[frames]

    source = Chunked()
    for _ in track(source, [Prompt(0, 9, box=BOX)], labels=["a"], segmenter=sam2):
        pass
    # Each range once on the way forward, once on the way back, whole chunks only.
    assert source.read == [(8, 12), (12, 16), (8, 12), (4, 8), (0, 4)]


def test_progress_reaches_its_total_and_never_goes_back(sam2: Segmenter) -> None:
    seen: list[tuple[int, int]] = []
    tracked = track(
        clip(6), [Prompt(0, 2, box=BOX), Prompt(1, 4, box=BOX)], labels=["a", "b"], segmenter=sam2,
        on_progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert len(list(tracked)) == 6
    assert seen == sorted(seen) and seen[-1][0] == seen[-1][1] and len(seen) == seen[-1][1] + 1


def test_a_cancelled_job_stops_at_the_next_frame(sam2: Segmenter) -> None:
    got: list[int] = []

    def frames() -> Iterator[int]:
        for t, _ in track(
            clip(8), [Prompt(0, 0, box=BOX)], labels=["a"], segmenter=sam2, cancelled=lambda: len(got) > 2
        ):
            yield t

    with pytest.raises(Cancelled):
        for t in frames():
            got.append(t)
    assert got == [0, 1, 2]


def test_bfloat16_gives_nearly_the_same(sam2: Segmenter) -> None:
    prompts = [Prompt(0, 0, box=BOX)]
    half = follow(tiny.segmenter(tiny.sam2_model(), torch.bfloat16), prompts)
    assert np.mean(half != follow(sam2, prompts)) < 0.05
