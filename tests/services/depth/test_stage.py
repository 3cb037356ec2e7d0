"""The `depth` stage over the store: maps at base resolution, and objects in the right order."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from services.artifacts import Artifact, Store, digest
from services.depth.stage import Depth
from services.errors import BadOption, Cancelled
from services.stage import Progress, Request, Result, execute

OBJECTS = [{"label": "far", "input": "tracks", "channel": 0}, {"label": "near", "input": "tracks", "channel": 1}]
Bytes = NDArray[np.uint8]


def make_scene(total: int, height: int, width: int) -> tuple[Bytes, Bytes]:
    """Video and masks [T, H, W, 2] of two posts on a plain; the second stands lower in the picture."""
    rows = np.linspace(0, 1, height)[:, None, None]
    video = np.repeat((90 + 80 * rows * np.ones((1, width, 3)))[None], total, axis=0).astype(np.uint8)
    masks = np.zeros((total, height, width, 2), np.uint8)
    for t in range(total):
        for channel, (x, top, foot) in enumerate(((0.2, 0.3, 0.55), (0.6, 0.35, 0.95))):
            left = int((x + 0.005 * t) * width)
            rows_of, columns = slice(int(top * height), int(foot * height)), slice(left, left + width // 8)
            masks[t, rows_of, columns, channel] = 255
            video[t, rows_of, columns] = (200, 60, 40) if channel else (40, 60, 200)
    return video, masks


def put(store: Store, name: str, array: Bytes) -> str:
    draft = store.draft(digest(f"{name}{array.shape}{int(array.sum())}"), stage="test")
    draft.array(name, shape=array.shape, dtype=str(array.dtype))[:] = array
    return draft.commit(request={}, meta={}).address


def request_for(store: Store, video: Bytes, masks: Bytes, **params: object) -> Request:
    inputs = {"video": put(store, "frames", video), "tracks": put(store, "masks", masks)}
    return Request("depth", {"objects": OBJECTS} | params, inputs)


def run(store: Store, video: Bytes, masks: Bytes) -> tuple[Result, Artifact]:
    result = execute(Depth(), request_for(store, video, masks), store)
    return result, store.get(result.address)


@pytest.fixture()
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def test_maps_come_at_base_resolution_within_zero_and_one(store: Store) -> None:
    result, made = run(store, *make_scene(3, 180, 320))
    depth = np.asarray(made.array("depth")[:])
    assert depth.shape == (3, 128, 224) and depth.dtype == np.float16
    assert depth.min() >= 0 and depth.max() <= 1
    assert result.meta == {"frames": 3, "height": 128, "width": 224}
    assert made.array("objects").shape == (3, 2) and made.array("objects").dtype == np.float32


def test_the_near_object_is_nearer_than_the_far_one(store: Store) -> None:
    _, made = run(store, *make_scene(4, 128, 224))
    objects = np.asarray(made.array("objects")[:])
    assert (objects[:, 1] > objects[:, 0] + 0.1).all()


def test_the_ground_comes_nearer_towards_the_viewer(store: Store) -> None:
    _, made = run(store, *make_scene(1, 128, 224))
    beside = np.asarray(made.array("depth")[0])[:, -40:].astype(np.float32)
    assert beside[-8:].mean() > beside[56:72].mean() > beside[:16].mean()


def test_an_unseen_object_has_no_depth(store: Store) -> None:
    video, masks = make_scene(4, 128, 224)
    masks[2:, ..., 1] = 0
    _, made = run(store, video, masks)
    objects = np.asarray(made.array("objects")[:])
    assert np.isnan(objects[2:, 1]).all()
    assert np.isfinite(objects[:2, 1]).all() and np.isfinite(objects[:, 0]).all()


@pytest.mark.parametrize(("total", "height", "width"), [(1, 127, 225), (2, 225, 127), (1, 41, 33)])
def test_single_frames_odd_sizes_and_portraits(store: Store, total: int, height: int, width: int) -> None:
    result, made = run(store, *make_scene(total, height, width))
    assert made.array("depth").shape == (total, result.meta["height"], result.meta["width"])
    assert np.isfinite(np.asarray(made.array("objects")[:])).all()


def test_the_same_request_gives_the_same_depth(store: Store, tmp_path: Path) -> None:
    scene = make_scene(2, 128, 160)
    first, made = run(store, *scene)
    second, again = run(Store(str(tmp_path / "other")), *scene)
    assert first.address == second.address
    for name in ("depth", "objects"):
        assert np.array_equal(made.array(name)[:], again.array(name)[:])


def test_progress_is_told_per_frame_and_cancelling_stops(store: Store) -> None:
    request = request_for(store, *make_scene(4, 64, 64))
    told: list[Progress] = []
    with pytest.raises(Cancelled):
        execute(Depth(), request, store, on_progress=told.append, cancelled=lambda: len(told) >= 2)
    assert [p.done for p in told] == [1, 2] and told[0].total == 4


def test_another_model_is_refused(store: Store) -> None:
    with pytest.raises(BadOption, match="huge"):
        execute(Depth(), request_for(store, *make_scene(1, 64, 64), model="huge"), store)
