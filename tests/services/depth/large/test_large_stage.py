"""The three large models through the `depth` stage, end to end on tiny random weights."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from services.artifacts import Store, digest
from services.depth.large.estimator import Clip, Size, StoredClip, Watch
from services.depth.large.models import LargeModel
from services.depth.stage import Depth
from services.errors import BadOption, Cancelled, Internal, NotFound
from services.stage import Progress, Request, address_of, execute
from tests.services.depth.large import tiny
from tests.services.weights_home import completed

Writer = Callable[[Path], tiny.Written]
WRITERS = [tiny.write_single, tiny.write_video, tiny.write_crafter]
NAMES = ["depth-anything-v2-small", "video-depth-anything-small", "depthcrafter"]
MODELS = list(zip(WRITERS, NAMES, strict=True))
OBJECTS = [{"label": "post", "input": "tracks", "channel": 0}, {"label": "lost", "input": "tracks", "channel": 1}]


@pytest.fixture()
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture(autouse=True)
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OMNIMATTE_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


def put(store: Store, name: str, array: np.ndarray) -> str:
    draft = store.draft(digest(f"{name}{array.shape}{int(array.sum(dtype=np.int64))}"), stage="test")
    draft.array(name, shape=array.shape, dtype=str(array.dtype))[:] = array
    return draft.commit(request={}, meta={}).address


def request_for(store: Store, shape: tuple[int, int, int], model: str, seed: int = 0) -> Request:
    video = np.random.default_rng(seed).integers(0, 255, (*shape, 3)).astype(np.uint8)
    masks = np.zeros((*shape, 2), np.uint8)
    masks[:, shape[1] // 4 : -shape[1] // 4, shape[2] // 4 : -shape[2] // 4, 0] = 255
    inputs = {"video": put(store, "frames", video), "tracks": put(store, "masks", masks)}
    return Request("depth", {"objects": OBJECTS, "model": model}, inputs)


@pytest.mark.parametrize(("write", "name"), MODELS)
@pytest.mark.parametrize("shape", [(1, 41, 33), (9, 64, 96)])
def test_every_model_gives_depth_at_base_resolution(
    weights: Path, store: Store, write: Writer, name: str, shape: tuple[int, int, int]
) -> None:
    result = execute(write(weights).stage(), request_for(store, shape, name), store)
    made = store.get(result.address)
    depth, objects = np.asarray(made.array("depth")[:]), np.asarray(made.array("objects")[:])
    assert depth.shape == (shape[0], result.meta["height"], result.meta["width"]) and depth.dtype == np.float16
    assert result.meta["frames"] == shape[0] and min(depth.shape[1:]) == 128
    assert 0 <= depth.min() < depth.max() <= 1
    assert np.isfinite(objects[:, 0]).all() and np.isnan(objects[:, 1]).all() and objects.dtype == np.float32


@pytest.mark.parametrize(("write", "name"), MODELS)
def test_the_same_request_gives_the_same_depth(
    tmp_path: Path, weights: Path, store: Store, write: Writer, name: str
) -> None:
    other = Store(str(tmp_path / "other"))
    first = execute(write(weights).stage(), request_for(store, (3, 48, 64), name), store)
    second = execute(write(weights).stage(), request_for(other, (3, 48, 64), name), other)
    assert first.address == second.address
    assert np.array_equal(
        store.get(first.address).array("depth")[:],
        other.get(second.address).array("depth")[:],
    )


@pytest.mark.parametrize(("write", "name"), MODELS)
def test_progress_is_told_and_cancelling_leaves_nothing(weights: Path, store: Store, write: Writer, name: str) -> None:
    stage, request = write(weights).stage(), request_for(store, (30, 32, 32), name)
    told: list[Progress] = []
    with pytest.raises(Cancelled):
        execute(stage, request, store, on_progress=told.append, cancelled=lambda: len(told) >= 1)
    assert len(told) == 1 and told[0].done == 1 < told[0].total
    assert store.find(address_of(stage, request)) is None


def test_the_address_follows_model_and_weights(
    tmp_path: Path, weights: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = tiny.write_single(weights).stage()
    tiny.write_single(tmp_path / "other", seed=1)
    request = request_for(store, (1, 32, 32), "depth-anything-v2-small")
    first = address_of(stage, request)
    assert address_of(stage, request_for(store, (1, 32, 32), "compact")) != first == address_of(Depth(), request)
    monkeypatch.setenv("OMNIMATTE_WEIGHTS", str(tmp_path / "other"))
    assert address_of(stage, request) != first


def test_weights_that_are_not_here_are_named_with_the_command_that_gets_them(store: Store) -> None:
    for name in NAMES:
        with pytest.raises(NotFound, match=f"omnimatte weights pull {name}"):
            execute(Depth(), request_for(store, (1, 32, 32), name), store)


def test_an_unknown_model_is_refused(store: Store) -> None:
    with pytest.raises(BadOption, match=r"no model 'midas'.*depthcrafter"):
        execute(Depth(), request_for(store, (1, 32, 32), "midas"), store)


def test_a_model_that_gives_no_numbers_is_an_error(store: Store, weights: Path) -> None:
    class Broken:
        whole_range = True

        def estimate(self, clip: Clip, *, size: Size, watch: Watch):  # type: ignore[no-untyped-def]
            yield 0, np.full((1, size.height, size.width), np.nan, np.float32)

    completed(weights, "depthcrafter")
    stage = tiny.Written("depthcrafter", weights, (), LargeModel(1, lambda folder: Broken())).stage()
    with pytest.raises(Internal, match="frame 0"):
        execute(stage, request_for(store, (1, 32, 32), "depthcrafter"), store)


def test_a_stored_clip_reads_each_chunk_once(store: Store) -> None:
    class Counting:
        shape, chunks = (10, 4, 4, 3), (4, 4, 4, 3)
        reads: list[int] = []  # noqa: RUF012

        def __getitem__(self, part: slice) -> np.ndarray:
            self.reads.append(part.start)
            return np.full((min(part.stop, 10) - part.start, 4, 4, 3), 255, np.uint8)

    clip = StoredClip(Counting())
    assert all((clip.frame(t) == 1).all() for t in range(10))
    assert Counting.reads == [0, 4, 8]


@pytest.mark.parametrize("write", [tiny.write_single, tiny.write_video])
def test_a_long_clip_is_read_frame_by_frame(tmp_path: Path, write: Writer) -> None:
    clip = tiny.clip(80, 28, 42)
    parts = write(tmp_path).load().estimate(clip, size=Size(16, 24), watch=tiny.QUIET)
    first, frames = next(parts)
    assert first == 0 and max(clip.read) < 32 and len(frames) <= 32
    assert 1 + sum(1 for _ in parts) >= 80 // 32
    assert sorted(clip.read) == list(range(80)), "every frame is read once"
