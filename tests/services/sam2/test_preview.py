"""Masks of one frame while somebody points: those that tracking begins with, as pictures."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from services.artifacts import Store, digest
from services.errors import BadPrompt
from services.sam2.preview import PreviewStage
from services.sam2.stage import Sam2
from services.stage import Request, Result, execute
from tests.services.sam21 import tiny

LENGTH, HEIGHT, WIDTH = 12, 96, 128
BOX = {"object": "ball", "frame": 6, "box": [44, 28, 78, 62], "positive": True}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A red square that moves over noise."""
    store = Store(str(tmp_path_factory.mktemp("store")))
    rng = np.random.default_rng(0)
    frames = np.tile(rng.integers(90, 160, (1, HEIGHT, WIDTH, 3), np.uint8), (LENGTH, 1, 1, 1))
    for t in range(LENGTH):
        frames[t, 30:60, 34 + 2 * t : 64 + 2 * t] = (200, 30, 30)
    draft = store.draft(digest("video"), stage="test")
    draft.array("frames", shape=frames.shape, dtype="uint8")[:] = frames
    draft.commit(request={}, meta={"frames": LENGTH})
    return store


def run(store: Store, model: str, *prompts: Any, frame: int, labels: tuple[str, ...]) -> Result:
    params = {"model": model, "prompts": list(prompts), "labels": list(labels), "frame": frame}
    return execute(PreviewStage(), Request("preview", params, {"video": digest("video")}), store)


def picture(store: Store, result: Result, label: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(store.get(result.address).read(f"masks/{label}.png"))))


def test_the_compact_preview_is_where_tracking_begins(store: Store) -> None:
    result = run(store, "compact", BOX, frame=6, labels=("ball",))
    mask = picture(store, result, "ball")
    assert mask.shape == (HEIGHT, WIDTH) and set(np.unique(mask)) == {0, 255}
    truth = np.zeros((HEIGHT, WIDTH), np.bool_)
    truth[30:60, 46:76] = True
    assert (truth & (mask > 0)).sum() / (truth | (mask > 0)).sum() > 0.9
    assert result.meta["coverage"] == [pytest.approx((mask > 0).mean(), abs=1e-5)]
    tracked = execute(
        Sam2(),
        Request("sam2", {"prompts": [BOX], "labels": ["ball"], "model": "compact"}, {"video": digest("video")}),
        store,
    )
    whole = np.asarray(store.get(tracked.address).array("masks")[6])[..., 0] > 0
    assert (whole & (mask > 0)).sum() / (whole | (mask > 0)).sum() > 0.95


@pytest.mark.parametrize("frame", [0, 1, LENGTH - 1])
def test_frames_at_the_ends_can_be_previewed(store: Store, frame: int) -> None:
    box = [34 + 2 * frame - 2, 28, 64 + 2 * frame + 2, 62]
    result = run(store, "compact", {**BOX, "frame": frame, "box": box}, frame=frame, labels=("ball",))
    assert 0.05 < result.meta["coverage"][0] < 0.12


def test_a_published_model_previews_too(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNIMATTE_WEIGHTS", str(tmp_path))
    tiny.published(tmp_path)
    point = {"object": "cup", "frame": 6, "point": [10, 10], "positive": True}
    result = run(store, "sam2.1-tiny", BOX, point, frame=6, labels=("cup", "ball"))
    assert result.meta["labels"] == ["cup", "ball"]
    assert picture(store, result, "cup").shape == (HEIGHT, WIDTH)


@pytest.mark.parametrize("model", ["compact", "sam2.1-tiny"])
def test_what_cannot_be_meant_is_refused(
    model: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMNIMATTE_WEIGHTS", str(tmp_path))
    tiny.published(tmp_path)
    with pytest.raises(BadPrompt, match="12 frames"):
        run(store, model, {**BOX, "frame": 12}, frame=12, labels=("ball",))
    with pytest.raises(BadPrompt, match="outside the frame"):
        run(store, model, {**BOX, "box": [0, 0, 500, 20]}, frame=6, labels=("ball",))
