"""The tracker follows what was pointed at, in both directions of time, and says what cannot be meant."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from services.errors import BadPrompt, Cancelled
from services.sam2.seed import bounds
from services.sam2.tracker import Prompt, Tracks, track
from tests.services.sam2.scenes import Scene, crossing


def follow(frames: NDArray[np.uint8], prompts: Sequence[Prompt], objects: int) -> Tracks:
    labels = [str(k) for k in range(objects)]
    return track(frames, prompts, labels=labels, on_progress=lambda done, total: None, cancelled=lambda: False)


def overlap(found: NDArray[np.bool_], given: NDArray[np.bool_]) -> float:
    return float((found & given).sum() / max(1, (found | given).sum()))


def box_prompt(scene: Scene, k: int, t: int) -> Prompt:
    return Prompt(object=k, frame=t, box=bounds(scene.masks[t, ..., k]))


def mean_overlap(tracks: Tracks, scene: Scene, k: int) -> float:
    seen = [t for t in range(len(scene.masks)) if scene.masks[t, ..., k].sum() > 60]
    return float(np.mean([overlap(tracks[t][..., k] > 0, scene.masks[t, ..., k]) for t in seen]))


@pytest.fixture(scope="module")
def scene() -> Scene:
    return crossing()


@pytest.fixture(scope="module")
def from_the_start(scene: Scene) -> Tracks:
    return follow(scene.frames, [box_prompt(scene, 0, 0), box_prompt(scene, 1, 0)], 2)


def test_boxes_on_the_first_frame_follow_both_objects_through_the_crossing(
    scene: Scene, from_the_start: Tracks
) -> None:
    assert mean_overlap(from_the_start, scene, 0) > 0.85
    assert mean_overlap(from_the_start, scene, 1) > 0.75


def test_the_object_behind_is_found_again_after_the_crossing(scene: Scene, from_the_start: Tracks) -> None:
    last = len(scene.frames) - 1
    assert overlap(from_the_start[last][..., 1] > 0, scene.masks[last, ..., 1]) > 0.8


def test_masks_are_one_per_object_and_never_overlap(scene: Scene, from_the_start: Tracks) -> None:
    assert from_the_start.shape == (*scene.frames.shape[:3], 2)
    for t in range(len(from_the_start)):
        masks = from_the_start[t]
        assert masks.shape == from_the_start.shape[1:] and masks.dtype == np.uint8
        assert set(np.unique(masks)) <= {0, 255}
        assert ((masks > 0).sum(-1) <= 1).all()


def test_boxes_on_different_middle_frames_are_followed_both_ways(scene: Scene) -> None:
    last = len(scene.frames) - 1
    tracks = follow(scene.frames, [box_prompt(scene, 0, 9), box_prompt(scene, 1, last - 2)], 2)
    assert mean_overlap(tracks, scene, 0) > 0.85
    for t, k in ((0, 0), (last, 0), (last, 1)):
        assert overlap(tracks[t][..., k] > 0, scene.masks[t, ..., k]) > 0.75


def test_a_point_finds_the_object_under_it(scene: Scene) -> None:
    x0, y0, x1, y1 = bounds(scene.masks[0, ..., 0])
    point = Prompt(object=0, frame=0, point=((x0 + x1) / 2, (y0 + y1) / 2))
    tracks = follow(scene.frames[:4], [point], 1)
    assert overlap(tracks[0][..., 0] > 0, scene.masks[0, ..., 0]) > 0.7
    assert overlap(tracks[3][..., 0] > 0, scene.masks[3, ..., 0]) > 0.7


def test_a_pixel_under_a_negative_point_is_not_the_object(scene: Scene) -> None:
    x0, y0, x1, y1 = bounds(scene.masks[0, ..., 0])
    off = Prompt(object=0, frame=0, point=(x0 + 4, y0 + 4), positive=False)
    tracks = follow(scene.frames[:1], [box_prompt(scene, 0, 0), off], 1)
    assert tracks[0][y0 + 4, x0 + 4, 0] == 0
    assert tracks[0][(y0 + y1) // 2, (x0 + x1) // 2, 0] == 255


def test_an_object_that_leaves_the_frame_has_an_empty_mask_there() -> None:
    full = crossing(20, pan=0.0)
    # In this part of the view the box is whole on the first frame and gone on the last.
    frames, masks = full.frames[:, :, 90:], full.masks[:, :, 90:]
    last = len(frames) - 1
    tracks = follow(np.ascontiguousarray(frames), [Prompt(object=0, frame=0, box=bounds(masks[0, ..., 0]))], 1)
    assert masks[0, ..., 0].any() and not masks[last, ..., 0].any()
    assert not tracks[last].any()


def test_a_large_clip_comes_back_at_its_own_size(scene: Scene) -> None:
    large = np.stack([cv2.resize(f, None, fx=4.5, fy=4.5, interpolation=cv2.INTER_CUBIC) for f in scene.frames[:3]])
    x0, y0, x1, y1 = (4.5 * v for v in bounds(scene.masks[0, ..., 0]))
    tracks = follow(large, [Prompt(object=0, frame=0, box=(x0, y0, x1, y1))], 1)
    given = cv2.resize(scene.masks[2, ..., 0].astype(np.float32), large.shape[2:0:-1]) > 0.5
    assert tracks[2].shape == (*large.shape[1:3], 1)
    assert overlap(tracks[2][..., 0] > 0, given) > 0.85


def test_the_same_request_gives_the_same_masks(scene: Scene) -> None:
    prompts = [box_prompt(scene, 0, 0), box_prompt(scene, 1, 0)]
    once, again = (follow(scene.frames[:4], prompts, 2) for _ in range(2))
    assert all((once[t] == again[t]).all() for t in range(4))


def test_one_frame_and_deep_frames_are_taken(scene: Scene) -> None:
    deep = scene.frames[:1].astype(np.uint16) * 257
    tracks = follow(deep, [box_prompt(scene, 0, 0)], 1)
    assert overlap(tracks[0][..., 0] > 0, scene.masks[0, ..., 0]) > 0.8


def test_progress_reaches_its_total_and_never_goes_back(scene: Scene) -> None:
    seen: list[tuple[int, int]] = []
    track(
        scene.frames[:4], [box_prompt(scene, 0, 2)], labels=["0"],
        on_progress=lambda done, total: seen.append((done, total)), cancelled=lambda: False,
    )  # fmt: skip
    assert seen == sorted(seen) and seen[-1][0] == seen[-1][1]


def test_a_cancelled_job_stops_at_once(scene: Scene) -> None:
    calls: list[int] = []
    with pytest.raises(Cancelled):
        track(
            scene.frames, [box_prompt(scene, 0, 0)], labels=["0"],
            on_progress=lambda done, total: calls.append(done), cancelled=lambda: len(calls) >= 3,
        )  # fmt: skip
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        (Prompt(object=0, frame=0, box=(-4, 0, 20, 20)), "outside the frame, which is 200x120"),
        (Prompt(object=0, frame=0, box=(150, 10, 220, 60)), "outside the frame"),
        (Prompt(object=0, frame=0, box=(30, 30, 30, 60)), "empty"),
        (Prompt(object=0, frame=0, box=(40, 30, 20, 60)), "empty"),
        (Prompt(object=0, frame=20, box=(10, 10, 40, 60)), "has 20 frames"),
        (Prompt(object=0, frame=-1, box=(10, 10, 40, 60)), "from 0 to 19"),
        (Prompt(object=0, frame=0, point=(200, 10)), "outside the frame"),
        (Prompt(object=0, frame=0, point=(float("nan"), 10)), "finite"),
        (Prompt(object=3, frame=0, point=(20, 10)), "number the 1 objects"),
        (Prompt(object=0, frame=0), "either a box or a point"),
        (Prompt(object=0, frame=0, point=(20, 10), positive=False), "no box and no positive point"),
    ],
)
def test_a_prompt_that_cannot_be_meant_is_refused_in_one_sentence(scene: Scene, prompt: Prompt, says: str) -> None:
    with pytest.raises(BadPrompt, match=says) as refused:
        follow(scene.frames, [prompt], 1)
    assert refused.value.message.endswith(".") and "\n" not in refused.value.message


def test_an_object_without_a_prompt_is_named(scene: Scene) -> None:
    with pytest.raises(BadPrompt, match="object ball has no box"):
        track(
            scene.frames, [box_prompt(scene, 0, 0)], labels=["case", "ball"],
            on_progress=lambda done, total: None, cancelled=lambda: False,
        )  # fmt: skip
