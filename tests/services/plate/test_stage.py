"""The `plate` stage over the store: once for all runs, at both resolutions, within bounded memory."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from services import geometry
from services.artifacts import Artifact, Store, digest
from services.errors import BadOption, Cancelled
from services.plate.reader import FrameReader
from services.plate.stage import PlateStage
from services.stage import Request, execute

FRAMES, HEIGHT, WIDTH = 12, 240, 320
OBJECTS = [{"label": "disc", "input": "tracks", "channel": 0}]


def _put(store: Store, name: str, array: np.ndarray, *, chunk: int = 4) -> str:
    draft = store.draft(digest(f"{name}{array.shape}"), stage="test")
    draft.array(name, shape=array.shape, dtype=str(array.dtype), chunk=chunk)[:] = array
    return draft.commit(request={}, meta={}).address


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, dict[str, str], np.ndarray, np.ndarray]:
    """Store, inputs, masks and the wall alone: a disc passes before a finely textured wall, the camera pans."""
    rng = np.random.default_rng(0)
    coarse = cv2.resize(rng.integers(60, 190, (20, 40, 3), np.uint8), (640, HEIGHT), interpolation=cv2.INTER_CUBIC)
    fine = cv2.GaussianBlur(rng.normal(0, 60, (HEIGHT, 640, 1)).astype(np.float32), (0, 0), 1.0)[..., None]
    wall = np.clip(coarse + fine, 0, 255).astype(np.uint8)
    walls = np.stack([wall[:, 4 * t : 4 * t + WIDTH] for t in range(FRAMES)])
    masks = np.zeros((FRAMES, HEIGHT, WIDTH, 1), np.uint8)
    for t in range(FRAMES):
        cv2.circle(drawn := np.zeros((HEIGHT, WIDTH), np.uint8), (60 + 18 * t, 120), 24, 255, -1)
        masks[t, ..., 0] = drawn
    video = np.where(masks > 0, np.uint8(250), walls)
    store = Store(str(tmp_path_factory.mktemp("store")))
    return store, {"video": _put(store, "frames", video), "tracks": _put(store, "masks", masks)}, masks, walls


def _run(scene: tuple, **params: object) -> Artifact:  # type: ignore[type-arg]
    store, inputs, _, _ = scene
    return store.get(execute(PlateStage(), Request("plate", {"objects": OBJECTS} | params, inputs), store).address)


def test_both_resolutions_show_the_wall_behind_the_object(scene: tuple) -> None:  # type: ignore[type-arg]
    _, _, masks, walls = scene
    made = _run(scene)
    assert made.meta == {"frames": FRAMES, "height": HEIGHT, "width": WIDTH}
    height, width = geometry.base_size(HEIGHT, WIDTH)
    assert made.array("base").shape == (FRAMES, height, width, 3) and made.array("base").dtype == np.uint8
    assert made.array("base_seen").shape == (FRAMES, height, width)
    fine, seen = np.asarray(made.array("frames")[:]), np.asarray(made.array("seen")[:])
    hole = (masks[..., 0] > 0) & (seen > 0)
    assert hole.sum() > 0.8 * (masks > 0).sum()
    assert seen.min() >= 0 and seen.max() <= 1
    enlarged = np.stack([cv2.resize(frame, (WIDTH, HEIGHT)) for frame in made.array("base")[:]])
    truth = walls.astype(float)
    # The texture is finer than base resolution can show: only the finer plate can have it.
    assert np.abs(fine - truth)[hole].mean() < 0.6 * np.abs(enlarged - truth)[hole].mean()


def test_the_working_plate_has_the_layers_size(scene: tuple) -> None:  # type: ignore[type-arg]
    made = _run(scene, long_side=160)
    assert made.array("frames").shape == (FRAMES, 120, 160, 3)
    assert made.array("seen").shape == (FRAMES, 120, 160)


def test_a_single_frame_has_a_plate_that_was_not_seen(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    video, mask = np.full((1, 64, 96, 3), 90, np.uint8), np.zeros((1, 64, 96, 1), np.uint8)
    mask[:, 20:40, 30:50] = 255
    video[mask[..., 0] > 0] = 250
    inputs = {"video": _put(store, "frames", video), "tracks": _put(store, "masks", mask)}
    made = store.get(execute(PlateStage(), Request("plate", {"objects": OBJECTS}, inputs), store).address)
    assert np.abs(made.array("frames")[:].astype(int) - 90).max() < 4
    assert made.array("seen")[0, 30, 40] == 0


def test_cancelling_stops_between_frames(scene: tuple) -> None:  # type: ignore[type-arg]
    store, inputs, _, _ = scene
    done: list[int] = []
    request = Request("plate", {"objects": OBJECTS, "long_side": 64}, inputs)
    with pytest.raises(Cancelled):
        execute(PlateStage(), request, store, on_progress=lambda p: done.append(p.done), cancelled=lambda: 3 in done)
    assert done == [1, 2, 3]


def test_a_tiny_resolution_is_refused(scene: tuple) -> None:  # type: ignore[type-arg]
    with pytest.raises(BadOption):
        _run(scene, long_side=8)


def test_the_reader_keeps_no_more_than_it_was_told(scene: tuple) -> None:  # type: ignore[type-arg]
    store, inputs, masks, walls = scene
    read = FrameReader(store.get(inputs["video"]).array("frames"), height=HEIGHT, width=WIDTH, keep=4)
    clear = masks[..., 0] == 0
    for t in [*range(FRAMES), 0, 5]:
        assert np.array_equal(read(t)[clear[t]], walls[t][clear[t]])
        assert sum(len(chunk) for chunk in read._held.values()) <= 8
