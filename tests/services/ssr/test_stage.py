"""The `ssr` stage over the store: working resolution, the original where nothing changed, no trace where it did."""

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from services import frames, geometry
from services.artifacts import Store, digest
from services.errors import BadOption, Cancelled
from services.ssr.stage import Ssr
from services.stage import Progress, Request, Result, execute

OBJECTS = [{"label": "disc", "input": "tracks", "channel": 0}]


@dataclass(frozen=True)
class Scene:
    """A striped disc and its soft shadow on a textured floor; all [T, H, W, ...] uint8."""

    video: NDArray[np.uint8]
    clean: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    shadow: NDArray[np.bool_]

    @property
    def disc(self) -> NDArray[np.bool_]:
        return self.masks[..., 0] > 0

    @property
    def untouched(self) -> NDArray[np.bool_]:
        """Far from everything that casper changes."""
        touched = (np.abs(self.video.astype(int) - self.clean).max(axis=-1) > 0).astype(np.uint8)
        return np.stack([cv2.dilate(part, np.ones((45, 45), np.uint8)) == 0 for part in touched])


def make_scene(total: int = 2, height: int = 256, width: int = 360) -> Scene:
    rng = np.random.default_rng(3)
    coarse = cv2.resize(rng.random((12, 16, 3)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    fine = cv2.GaussianBlur(rng.normal(size=(height, width, 1)).astype(np.float32), (0, 0), 1.0)[..., None]
    clean = np.clip(0.35 + 0.3 * coarse + 0.18 * fine, 0.05, 1).astype(np.float32)
    video, masks, shadows = [], [], []
    stripes = np.where((np.arange(width) // 2 % 2)[None, :, None] > 0, 0.95, 0.05) * np.ones((height, 1, 3))
    for t in range(total):
        centre = (width // 3 + 4 * t, height // 2)
        mask = cv2.circle(np.zeros((height, width), np.uint8), centre, height // 8, 255, -1)
        cast = cv2.ellipse(mask * 0, (centre[0] + height // 3, centre[1]), (height // 6, height // 8), 0, 0, 360, 1, -1)
        dark = cv2.GaussianBlur(cast.astype(np.float32), (0, 0), 4)
        video.append(np.where(mask[..., None] > 0, stripes, clean * (1 - 0.5 * dark[..., None])))
        masks.append(mask[..., None])
        shadows.append((dark > 0.95) & (mask == 0))
    as_bytes = [np.rint(np.stack(part) * 255).astype(np.uint8) for part in (video, [clean] * total)]
    return Scene(as_bytes[0], as_bytes[1], np.stack(masks), np.stack(shadows))


def put(store: Store, name: str, array: NDArray[np.generic]) -> str:
    draft = store.draft(digest(f"{name}{array.shape}{array.dtype}{array.sum(dtype=np.float64)}"), stage="test")
    draft.array(name, shape=array.shape, dtype=str(array.dtype))[:] = array
    return draft.commit(request={}, meta={}).address


def put_plate(store: Store, scene: Scene, *, long_side: int, seen: bool) -> str:
    """The clean floor where the plate is `seen`; grey where it is not."""
    height, width = geometry.working_size(*scene.video.shape[1:3], long_side=long_side)
    made = frames.resized(scene.clean, height, width) if seen else np.full((len(scene.clean), height, width, 3), 128)
    draft = store.draft(digest(f"plate{made.shape}{seen}"), stage="test")
    draft.array("frames", shape=made.shape, dtype="uint8")[:] = made
    draft.array("seen", shape=made.shape[:3], dtype="float16")[:] = float(seen)
    return draft.commit(request={}, meta={}).address


def request_for(store: Store, scene: Scene, *, kept: bool = False, seen: bool = False, **params: object) -> Request:
    """A request whose Casper result is perfect at base resolution."""
    size = geometry.base_size(*scene.video.shape[1:3])
    truth = scene.video if kept else scene.clean
    casper = frames.to_float(frames.resized(truth, *size)).astype(np.float16)
    inputs = {
        "video": put(store, "frames", scene.video),
        "casper": put(store, "frames", casper),
        "tracks": put(store, "masks", scene.masks),
        "plate": put_plate(store, scene, long_side=max(16, int(str(params.get("long_side", 640)))), seen=seen),
    }
    return Request("ssr", {"objects": OBJECTS, "keep": ["disc"] if kept else []} | params, inputs)


def run(store: Store, request: Request) -> tuple[Result, NDArray[np.float32]]:
    result = execute(Ssr(), request, store)
    return result, np.asarray(store.get(result.address).array("frames")[:])


@pytest.fixture()
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


@pytest.fixture(scope="module")
def removed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scene, NDArray[np.float32]]:
    """The scene and its background run at working resolution = native."""
    scene = make_scene()
    store = Store(str(tmp_path_factory.mktemp("store")))
    return scene, run(store, request_for(store, scene))[1].astype(np.float32)


def bicubic(scene: Scene) -> NDArray[np.float32]:
    """What comes out without any guide."""
    _, height, width, _ = scene.clean.shape
    small = frames.to_float(frames.resized(scene.clean, *geometry.base_size(height, width)))
    return np.stack([cv2.resize(f, (width, height), interpolation=cv2.INTER_CUBIC) for f in small])


def test_frames_come_at_working_resolution(store: Store) -> None:
    result, made = run(store, request_for(store, make_scene(), long_side=240))
    assert made.shape == (2, 170, 240, 3) and made.dtype == np.float16
    assert result.meta == {"frames": 2, "height": 170, "width": 240}
    assert made.min() >= 0 and made.max() <= 1


def test_working_resolution_is_never_above_the_clip(store: Store) -> None:
    assert run(store, request_for(store, make_scene(), long_side=4096))[1].shape == (2, 256, 360, 3)


def test_what_casper_left_alone_is_the_original(removed: tuple[Scene, NDArray[np.float32]]) -> None:
    scene, made = removed
    difference = np.abs(made - scene.video / np.float32(255)).max(axis=-1)
    assert scene.untouched.mean() > 0.1
    assert difference[scene.untouched].max() < 1 / 255


def test_a_clip_that_casper_did_not_change_comes_back(store: Store) -> None:
    scene = make_scene()
    _, made = run(store, request_for(store, scene, kept=True))
    assert np.abs(made - scene.video / np.float32(255)).max() < 1 / 255


def test_the_detail_of_the_removed_object_does_not_come_back(removed: tuple[Scene, NDArray[np.float32]]) -> None:
    scene, made = removed
    inside = np.stack([cv2.erode(part, np.ones((9, 9), np.uint8)) for part in scene.masks[..., 0]]) > 0
    stripes = np.where(np.arange(made.shape[2]) // 2 % 2, 1.0, -1.0)[None, None, :, None]

    def stripe_strength(video: NDArray[np.float32]) -> float:
        """Amplitude of the stripes in `video` beyond what the floor has of them by chance."""
        return float(np.abs(((video - scene.clean / np.float32(255)) * stripes)[inside].mean()))

    assert stripe_strength(made) < 0.02 * stripe_strength(scene.video / np.float32(255))
    assert np.abs(made - scene.clean / np.float32(255))[inside].mean() < 0.08


def test_the_floor_under_a_removed_shadow_keeps_its_texture(removed: tuple[Scene, NDArray[np.float32]]) -> None:
    scene, made = removed
    truth = scene.clean / np.float32(255)
    guided = np.abs(made - truth)[scene.shadow].mean()
    assert guided < 0.7 * np.abs(bicubic(scene) - truth)[scene.shadow].mean()


@pytest.mark.parametrize(("total", "height", "width"), [(1, 130, 171), (3, 33, 47), (2, 171, 130)])
def test_single_frames_odd_sizes_and_portraits(store: Store, total: int, height: int, width: int) -> None:
    result, made = run(store, request_for(store, make_scene(total, height, width)))
    assert made.shape == (total, height, width, 3)
    assert np.isfinite(made).all() and result.meta["frames"] == total


def test_sixteen_bit_sources_give_the_same_picture(store: Store) -> None:
    scene = make_scene(1)
    request = request_for(store, scene)
    deep = put(store, "frames", scene.video.astype(np.uint16) * 257)
    _, eight = run(store, request)
    _, sixteen = run(store, replace(request, inputs={**request.inputs, "video": deep}))
    assert np.abs(eight.astype(np.float32) - sixteen).max() < 2e-3


def test_the_same_request_gives_the_same_pixels(store: Store, tmp_path: Path) -> None:
    other = Store(str(tmp_path / "other"))
    scene = make_scene(1)
    first, made = run(store, request_for(store, scene))
    second, again = run(other, request_for(other, scene))
    assert first.address == second.address and np.array_equal(made, again)


def test_progress_is_told_per_frame_and_cancelling_stops(store: Store) -> None:
    request = request_for(store, make_scene(3, 64, 64))
    told: list[Progress] = []
    with pytest.raises(Cancelled):
        execute(Ssr(), request, store, on_progress=told.append, cancelled=lambda: len(told) >= 2)
    assert [p.done for p in told] == [1, 2] and told[0].total == 3
    assert not execute(Ssr(), request, store).cached


@pytest.mark.parametrize("params", [{"long_side": 4}, {"keep": ["nobody"]}])
def test_impossible_options_are_refused(store: Store, params: dict[str, object]) -> None:
    with pytest.raises(BadOption):
        execute(Ssr(), request_for(store, make_scene(1, 64, 64), **params), store)


def test_a_result_of_another_clip_is_refused(store: Store) -> None:
    request = request_for(store, make_scene(2, 64, 64))
    shorter = request_for(store, make_scene(1, 64, 64))
    mixed = replace(request, inputs={**request.inputs, "casper": shorter.inputs["casper"]})
    with pytest.raises(BadOption, match="number of frames"):
        execute(Ssr(), mixed, store)


def test_what_other_frames_saw_behind_the_object_comes_back_sharp(
    store: Store, removed: tuple[Scene, NDArray[np.float32]]
) -> None:
    scene, unseen = removed
    seen = run(store, request_for(store, scene, seen=True))[1].astype(np.float32)
    truth = scene.clean / np.float32(255)
    inside = np.stack([cv2.erode(part, np.ones((9, 9), np.uint8)) for part in scene.masks[..., 0]]) > 0
    assert np.abs(seen - truth)[inside].mean() < 0.9 * np.abs(unseen - truth)[inside].mean()


def test_the_users_preserve_region_is_the_original(store: Store) -> None:
    scene = make_scene(1)
    request = request_for(store, scene)
    region = np.where(scene.shadow, 255, 0).astype(np.uint8)[..., None]
    result = execute(Ssr(), replace(request, inputs={**request.inputs, "preserve": put(store, "masks", region)}), store)
    made = np.asarray(store.get(result.address).array("frames")[:]).astype(np.float32)
    protected = scene.shadow & (cv2.dilate(scene.masks[0, ..., 0], np.ones((7, 7), np.uint8)) == 0)[None]
    assert protected.any() and np.abs(made - scene.video / np.float32(255))[protected].max() < 1 / 255


def test_a_plate_of_another_size_is_refused(store: Store) -> None:
    request = request_for(store, make_scene(1))
    with pytest.raises(BadOption, match="plate"):
        execute(Ssr(), replace(request, params={**request.params, "long_side": 200}), store)
