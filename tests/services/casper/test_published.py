"""The `casper` stage with published models, end to end over the store, on tiny random weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.artifacts import Store, digest
from services.casper import published
from services.casper.stage import Casper
from services.errors import BadOption, Cancelled, NotFound
from services.stage import Progress, Request, Result, address_of, execute
from tests.services.casper import weights

FRAMES, HEIGHT, WIDTH = 7, 40, 72
OBJECTS = [{"label": "a", "input": "tracks", "channel": 0}, {"label": "b", "input": "tracks", "channel": 1}]
MODELS = ["cogvideox", "wan-1.3b"]
RUNS = {"background": [], "a": ["a"]}
SMALL = {"size": "32x48", "tier": "draft", "steps": 1}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    for name in MODELS:
        weights.write(folder, name)
    return folder


@pytest.fixture(autouse=True)
def _set(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNIMATTE_WEIGHTS", str(home))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(str(tmp_path_factory.mktemp("store")))
    rng = np.random.default_rng(0)
    _put(store, "video", "frames", rng.integers(0, 255, (FRAMES, HEIGHT, WIDTH, 3)).astype(np.uint8))
    masks = np.zeros((FRAMES, HEIGHT, WIDTH, 2), np.uint8)
    masks[:, 5:20, 10:30, 0] = masks[:, 15:35, 40:60, 1] = 255
    _put(store, "tracks", "masks", masks)
    preserve = np.zeros((FRAMES, HEIGHT, WIDTH, 1), np.uint8)
    preserve[:, 30:, :20] = 255
    _put(store, "preserve", "masks", preserve)
    return store


def _put(store: Store, name: str, array: str, values: np.ndarray) -> None:
    draft = store.draft(digest(name), stage="test")
    draft.array(array, shape=values.shape, dtype=str(values.dtype), chunk=3)[:] = values
    draft.commit(request={}, meta={})


def request(model: str, *inputs: str, runs: dict[str, list[str]] = RUNS, **params: Any) -> Request:
    if model.startswith("wan"):
        params = {"context": "zeros"} | params
    asked = {"objects": OBJECTS, "runs": runs, "seed": 3, "model": model} | SMALL | params
    return Request("casper", asked, {name: digest(name) for name in ("video", "tracks", *inputs)})


def frames(store: Store, result: Result, part: str) -> np.ndarray:
    return np.asarray(store.get(f"{result.address}/{part}").array("frames")[:])


@pytest.mark.parametrize("model", MODELS)
def test_every_run_has_all_frames_at_the_models_size(store: Store, model: str) -> None:
    told: list[Progress] = []
    result = execute(Casper(), request(model), store, on_progress=told.append)
    assert (result.meta["frames"], result.meta["height"], result.meta["width"]) == (FRAMES, 32, 48)
    background, solo = frames(store, result, "background"), frames(store, result, "a")
    assert background.shape == (FRAMES, 32, 48, 3) and background.dtype == np.float16
    assert 0 <= background.min() <= background.max() <= 1 and np.isfinite(background).all()
    assert not np.array_equal(background, solo)
    assert {one.note for one in told} == {"encoding", "denoising", "decoding"}


@pytest.mark.parametrize("model", MODELS)
def test_a_run_alone_is_what_it_is_beside_others(store: Store, model: str) -> None:
    both = execute(Casper(), request(model), store)
    alone = execute(Casper(), request(model, runs={"a": ["a"]}), store)
    assert np.array_equal(frames(store, both, "a"), frames(store, alone, "a"))


def test_what_a_user_preserves_is_told_to_the_model(store: Store) -> None:
    plain = execute(Casper(), request("cogvideox"), store)
    kept = execute(Casper(), request("cogvideox", "preserve"), store)
    assert not np.array_equal(frames(store, plain, "background"), frames(store, kept, "background"))


def test_a_tall_clip_turns_the_models_size() -> None:
    assert published._turned((384, 672), 1920, 1080) == (672, 384)
    assert published._turned((384, 672), 1080, 1920) == (384, 672)


def test_the_address_follows_the_weights_and_their_precision(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, asked = Casper(), request("cogvideox")
    first = address_of(stage, asked)
    assert address_of(stage, request("cogvideox", tier="full")) != first
    monkeypatch.setenv("OMNIMATTE_FP8", "1")
    assert address_of(stage, asked) != first, "rounded weights are other weights"
    monkeypatch.delenv("OMNIMATTE_FP8")
    weights.write(tmp_path, "cogvideox", seed=1)
    monkeypatch.setenv("OMNIMATTE_WEIGHTS", str(tmp_path))
    assert address_of(stage, asked) != first


def test_cancelling_stops_between_two_steps_and_leaves_nothing(store: Store) -> None:
    stage, asked = Casper(), request("cogvideox", steps=40)
    told: list[str] = []
    with pytest.raises(Cancelled):
        execute(
            stage,
            asked,
            store,
            on_progress=lambda p: told.append(p.note),
            cancelled=lambda: told.count("denoising") == 2,
        )
    assert told.count("denoising") == 2
    assert store.find(address_of(stage, asked)) is None


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"size": "33x48"}, "multiple of 16"),
        ({"size": "huge"}, "HEIGHTxWIDTH"),
        ({"tier": "best"}, "quality tier"),
        ({"steps": -1}, "steps"),
        ({"context": "zeros"}, "no image context"),
        ({"runs": {}}, "no run"),
        ({"runs": {"x": ["nobody"]}}, "nobody"),
    ],
)
def test_what_cannot_be_is_refused(store: Store, params: dict[str, Any], message: str) -> None:
    with pytest.raises(BadOption, match=message):
        execute(Casper(), request("cogvideox", **params), store)


def test_missing_weights_come_with_the_command(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OMNIMATTE_WEIGHTS", str(tmp_path))
    with pytest.raises(NotFound, match=r"omnimatte weights pull cogvideox-fun-v1\.5-5b-inp"):
        execute(Casper(), request("cogvideox"), store)
    with pytest.raises(NotFound, match="omnimatte weights pull wan2"):
        execute(Casper(), request("wan-14b"), store)


def test_a_wrong_checkpoint_names_the_tensor(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors.torch import load_file, save_file

    weights.write(tmp_path, "cogvideox", seed=2)
    monkeypatch.setenv("OMNIMATTE_WEIGHTS", str(tmp_path))
    file = tmp_path / "casper-cogvideox" / "casper.safetensors"
    tensors = load_file(file)
    lost = sorted(tensors)[5]
    del tensors[lost]
    save_file(tensors, file)
    with pytest.raises(BadOption, match=lost.replace(".", r"\.")):
        execute(Casper(), request("cogvideox"), store)
