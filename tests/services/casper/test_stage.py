"""The `casper` stage over the store: base resolution, shared noise, removal that is measurable."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from services.artifacts import Artifact, Store, digest
from services.casper.compact import WEIGHTS, load_network
from services.casper.stage import Casper
from services.errors import BadOption, Cancelled, NotFound
from services.stage import Request, Result, execute

FRAMES, HEIGHT, WIDTH = 10, 128, 192


def _put(store: Store, name: str, array_name: str, array: np.ndarray) -> str:
    draft = store.draft(digest(name), stage="test")
    draft.array(array_name, shape=array.shape, dtype=str(array.dtype))[:] = array
    return draft.commit(request={}, meta={}).address


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, dict[str, str], np.ndarray, np.ndarray]:
    """Store, inputs, masks and the clean wall of a disc moving before a wall that pans."""
    rng = np.random.default_rng(0)
    wall = cv2.resize(rng.integers(40, 220, (18, 40, 3), np.uint8), (400, HEIGHT), interpolation=cv2.INTER_CUBIC)
    walls = np.stack([wall[:, 3 * t : 3 * t + WIDTH] for t in range(FRAMES)])
    masks = np.zeros((FRAMES, HEIGHT, WIDTH, 2), np.uint8)
    video = walls.copy()
    for t in range(FRAMES):
        for channel, (x, y) in enumerate(((30 + 9 * t, 50), (150 - 6 * t, 90))):
            mask = np.zeros((HEIGHT, WIDTH), np.uint8)
            cv2.circle(mask, (x, y), 14, 255, -1)
            masks[t, ..., channel] = mask
            video[t][mask > 0] = (240, 30, 30) if channel == 0 else (20, 30, 240)
    store = Store(str(tmp_path_factory.mktemp("store")))
    # A plate as blurred as one from few references, seen everywhere: the wall without the discs.
    plate = np.stack([cv2.GaussianBlur(frame, (0, 0), 1) for frame in walls])
    draft = store.draft(digest("p"), stage="test")
    draft.array("base", shape=plate.shape, dtype="uint8")[:] = plate
    draft.array("base_seen", shape=plate.shape[:3], dtype="float16")[:] = 1
    inputs = {
        "video": _put(store, "v", "frames", video),
        "tracks": _put(store, "m", "masks", masks),
        "plate": draft.commit(request={}, meta={}).address,
    }
    return store, inputs, masks, walls


def _copy(store: Store, other: Store, name: str, arrays: list[str]) -> None:
    draft = other.draft(digest(name), stage="test")
    for array in arrays:
        made = np.asarray(store.get(digest(name)).array(array)[:])
        draft.array(array, shape=made.shape, dtype=str(made.dtype))[:] = made
    draft.commit(request={}, meta={})


OBJECTS = [{"label": "a", "input": "tracks", "channel": 0}, {"label": "b", "input": "tracks", "channel": 1}]


def _run(store: Store, inputs: dict[str, str], **params: Any) -> tuple[Result, Artifact]:
    asked = {"objects": OBJECTS, "runs": {"background": []}, "steps": 1} | params
    result = execute(Casper(), Request("casper", asked, inputs), store)
    return result, store.get(f"{result.address}/{next(iter(asked['runs']))}")


def _error(frames: np.ndarray, truth: np.ndarray, where: np.ndarray) -> float:
    return float(np.abs(frames.astype(np.float32) - truth / 255.0)[where].mean())


def test_the_background_run_removes_both_objects(scene: tuple) -> None:  # type: ignore[type-arg]
    store, inputs, masks, walls = scene
    result, artifact = _run(store, inputs)
    frames = np.asarray(artifact.array("frames")[:])
    assert result.meta["frames"] == FRAMES
    assert frames.shape == (FRAMES, 128, 192, 3) and frames.dtype == np.float16
    assert frames.min() >= 0 and frames.max() <= 1
    hole = masks.max(axis=-1) > 0
    assert _error(frames, walls, hole) < 0.08
    assert _error(frames, walls, ~hole) < 0.03


def test_the_solo_run_keeps_its_object(scene: tuple) -> None:  # type: ignore[type-arg]
    store, inputs, masks, walls = scene
    _, artifact = _run(store, inputs, runs={"a": ["a"]})
    frames = np.asarray(artifact.array("frames")[:]).astype(np.float32)
    inner = np.stack([cv2.erode(m, np.ones((9, 9), np.uint8)) for m in masks[..., 0]]) > 0
    assert np.abs(frames - np.array([240, 30, 30]) / 255)[inner].mean() < 0.06
    assert _error(frames, walls, masks[..., 1] > 0) < 0.08


def test_runs_in_one_request_are_what_they_are_alone(scene: tuple) -> None:  # type: ignore[type-arg]
    store, inputs, _, _ = scene
    result, _ = _run(store, inputs, runs={"background": [], "a": ["a"]})
    for name, alone in (("background", _run(store, inputs)[1]), ("a", _run(store, inputs, runs={"a": ["a"]})[1])):
        together = store.get(f"{result.address}/{name}")
        assert np.array_equal(together.array("frames")[:], alone.array("frames")[:])
    with pytest.raises(NotFound, match="no array 'b/frames'"):
        store.get(f"{result.address}/b").array("frames")
    with pytest.raises(BadOption, match="leads out"):
        store.get(f"{result.address}/../x")


def test_the_same_request_gives_the_same_pixels_in_another_store(scene: tuple, tmp_path: Path) -> None:  # type: ignore[type-arg]
    store, inputs, _, _ = scene
    other = Store(str(tmp_path))
    for name, arrays in (("v", ["frames"]), ("m", ["masks"]), ("p", ["base", "base_seen"])):
        _copy(store, other, name, arrays)
    first, one = _run(store, inputs)
    second, two = _run(other, inputs)
    assert first.address == second.address
    assert np.array_equal(one.array("frames")[:], two.array("frames")[:])


def test_an_exported_network_takes_the_place_of_the_one_in_pytorch(scene: tuple, tmp_path: Path) -> None:  # type: ignore[type-arg]
    store, inputs, _, _ = scene
    _, here = _run(store, inputs)
    network, opened = load_network(WEIGHTS), []

    class Served:
        """What a server would answer: the same network, arrays in, arrays out."""

        def __call__(self, *inputs: np.ndarray) -> np.ndarray:
            noisy, conditions, t = (torch.from_numpy(one) for one in inputs)
            assert t.shape == (1, 1)
            with torch.inference_mode():
                return network(noisy, conditions, t[:, 0]).numpy()

    def served(name: str, path: Path | None) -> Served:
        opened.append((name, path))
        return Served()

    other = Store(str(tmp_path))
    for name, arrays in (("v", ["frames"]), ("m", ["masks"]), ("p", ["base", "base_seen"])):
        _copy(store, other, name, arrays)
    stage = Casper(open_network=served)  # type: ignore[arg-type]
    result = execute(
        stage, Request("casper", {"objects": OBJECTS, "runs": {"background": []}, "steps": 1}, inputs), other
    )
    there = np.asarray(other.get(f"{result.address}/background").array("frames")[:])
    assert opened == [("casper", None)]
    assert np.abs(there.astype(np.float32) - np.asarray(here.array("frames")[:])).mean() < 2e-3


def test_cancelling_stops_between_steps(scene: tuple) -> None:  # type: ignore[type-arg]
    store, inputs, _, _ = scene
    notes: list[str] = []
    request = Request("casper", {"objects": OBJECTS, "runs": {"background": []}, "steps": 50}, inputs)
    with pytest.raises(Cancelled):
        execute(
            Casper(),
            request,
            store,
            on_progress=lambda p: notes.append(p.note),
            cancelled=lambda: notes.count("denoising") == 2,
        )
    assert notes.count("denoising") == 2


@pytest.mark.parametrize("params", [{"steps": 0}, {"steps": 1000}, {"model": "huge"}, {"runs": {"x": ["nobody"]}}])
def test_impossible_options_are_refused(scene: tuple, params: dict[str, object]) -> None:  # type: ignore[type-arg]
    store, inputs, _, _ = scene
    with pytest.raises(BadOption):
        _run(store, inputs, **params)


def test_the_plate_of_another_clip_is_refused(scene: tuple) -> None:  # type: ignore[type-arg]
    store, inputs, _, _ = scene
    draft = store.draft(digest("other plate"), stage="test")
    draft.array("base", shape=(2, 128, 192, 3), dtype="uint8")[:] = 0
    draft.array("base_seen", shape=(2, 128, 192), dtype="float16")[:] = 0
    wrong = draft.commit(request={}, meta={}).address
    with pytest.raises(BadOption, match="plate"):
        _run(store, inputs | {"plate": wrong})
