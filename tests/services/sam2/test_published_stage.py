"""The stage with SAM 2.1 from a folder of weights: end to end over the store, on small random networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from services.artifacts import Store, digest
from services.errors import BadOption, BadPrompt, Cancelled, NotFound
from services.sam2.stage import Sam2
from services.sam21.loading import load
from services.stage import Request, Result, address_of, execute
from tests.services.sam21 import tiny

MODEL = "sam2.1-tiny"
LENGTH, HEIGHT, WIDTH = 9, 48, 64
BOX = {"object": "cup", "frame": 4, "box": [10, 5, 40, 30]}
POINT = {"object": "ball", "frame": 6, "point": [50, 40]}


@pytest.fixture(autouse=True)
def weights(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path_factory.mktemp("weights")
    monkeypatch.setenv("OMNIMATTE_WEIGHTS", str(home))
    return tiny.published(home)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(str(tmp_path_factory.mktemp("store")))
    rng = np.random.default_rng(0)
    _put(store, "video", "frames", rng.integers(0, 255, (LENGTH, HEIGHT, WIDTH, 3), np.uint8), chunk=4)
    drawn = np.zeros((LENGTH, HEIGHT, WIDTH, 1), np.uint8)
    drawn[3, 10:30, 20:50] = 255
    _put(store, "drawn", "masks", drawn)
    return store


def _put(store: Store, name: str, array: str, values: np.ndarray, chunk: int | None = None) -> None:
    draft = store.draft(digest(name), stage="test")
    draft.array(array, shape=values.shape, dtype=str(values.dtype), chunk=chunk)[:] = values
    draft.commit(request={}, meta={})


def request(*prompts: Any, labels: tuple[str, ...] = ("cup", "ball"), model: str = MODEL) -> Request:
    inputs = {"video": digest("video"), "drawn": digest("drawn")}
    return Request("sam2", {"prompts": list(prompts), "labels": list(labels), "model": model}, inputs)


def masks(store: Store, result: Result) -> np.ndarray:
    return np.asarray(store.get(result.address).array("masks")[:])


def test_boxes_and_points_become_masks_of_all_frames(store: Store) -> None:
    steps: list[tuple[int, int]] = []
    result = execute(Sam2(), request(BOX, POINT), store, on_progress=lambda p: steps.append((p.done, p.total)))
    assert result.meta == {"frames": LENGTH, "height": HEIGHT, "width": WIDTH, "labels": ["cup", "ball"]}
    found = masks(store, result)
    assert found.shape == (LENGTH, HEIGHT, WIDTH, 2) and found.dtype == np.uint8
    assert set(np.unique(found)) == {0, 255} and ((found > 0).sum(-1) <= 1).all()
    assert steps == sorted(steps) and steps[-1][0] == steps[-1][1]


def test_a_drawn_mask_is_a_prompt(store: Store) -> None:
    prompt = {"object": "cup", "frame": 3, "mask": "drawn"}
    found = masks(store, execute(Sam2(), request(prompt, labels=("cup",)), store))[3, ..., 0] > 0
    given = np.asarray(store.get(digest("drawn")).array("masks")[3])[..., 0] > 0
    assert (found & given).sum() > 0.9 * (found | given).sum()


def test_the_address_depends_on_the_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stage, asked = Sam2(), request(BOX, POINT)
    first = address_of(stage, asked)
    tiny.published(tmp_path, model=tiny.sam2_model(memory_fuser_num_layers=1))
    monkeypatch.setenv("OMNIMATTE_WEIGHTS", str(tmp_path))
    assert len({first, address_of(stage, asked), address_of(stage, request(BOX, POINT, model="compact"))}) == 3


def test_a_model_without_its_weights_says_what_to_do(store: Store) -> None:
    with pytest.raises(NotFound, match=r"omnimatte weights pull sam2\.1-large"):
        execute(Sam2(), request(BOX, POINT, model="sam2.1-large"), store)
    with pytest.raises(BadOption, match="no model 'best'"):
        execute(Sam2(), request(BOX, POINT, model="best"), store)


def test_an_exported_encoder_takes_the_place_of_the_one_in_pytorch(
    store: Store, weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    here = execute(Sam2(), request(BOX, POINT), store)
    inner, opened = load(weights).encoder, []

    class Served:
        """What a server would answer: the same encoder, arrays in, arrays out."""

        def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
            with torch.inference_mode():
                return tuple(one.numpy() for one in inner(torch.from_numpy(inputs[0])).fpn_hidden_states)

    def served(name: str, path: Path | None) -> Served:
        opened.append((name, path))
        return Served()

    other = Store(str(tmp_path_factory.mktemp("other")))
    _put(other, "video", "frames", np.asarray(store.get(digest("video")).array("frames")[:]), chunk=4)
    _put(other, "drawn", "masks", np.asarray(store.get(digest("drawn")).array("masks")[:]))
    there = execute(Sam2(open_network=served), request(BOX, POINT), other)  # type: ignore[arg-type]
    assert opened == [(f"{MODEL}-encoder", None)]
    assert np.array_equal(masks(store, here), masks(other, there))


def test_the_whole_of_an_object_is_found_on_its_solo_video(store: Store) -> None:
    given = np.zeros((LENGTH, HEIGHT, WIDTH, 1), np.uint8)
    given[:, 10:30, 20:50] = 255
    _put(store, "given", "masks", given)
    solo = np.random.default_rng(1).random((LENGTH, 24, 32, 3)).astype(np.float16)
    _put(store, "solo", "frames", solo)
    objects = [{"label": "cup", "input": "given", "channel": 0}]
    params = {"objects": objects, "whole": "cup", "model": MODEL}
    asked = Request("sam2", params, {"solo": digest("solo"), "given": digest("given")})
    found = masks(store, execute(Sam2(), asked, store))
    assert found.shape == (LENGTH, 24, 32, 1)
    assert (found[:, 6:14, 11:24] == 255).all(), "what was known stays"
    with pytest.raises(BadOption, match="no object is called 'cat'"):
        execute(Sam2(), Request("sam2", {**params, "whole": "cat"}, asked.inputs), store)
    with pytest.raises(BadOption, match="completes no masks"):
        execute(Sam2(), Request("sam2", {**params, "model": "compact"}, asked.inputs), store)


def test_what_cannot_be_meant_is_refused(store: Store) -> None:
    with pytest.raises(BadOption, match="'cat', which is none of cup, ball"):
        execute(Sam2(), request({**BOX, "object": "cat"}, POINT), store)
    with pytest.raises(BadPrompt, match="object ball has no box"):
        execute(Sam2(), request(BOX), store)
    with pytest.raises(BadOption, match="there is no such input"):
        execute(Sam2(), request(BOX, {"object": "ball", "frame": 0, "mask": "nothing"}), store)


def test_a_cancelled_run_leaves_nothing(store: Store) -> None:
    asked, calls = request(BOX, {**POINT, "point": [20, 20]}), [0]

    def cancelled() -> bool:
        calls[0] += 1
        return calls[0] > 5

    with pytest.raises(Cancelled):
        execute(Sam2(), asked, store, cancelled=cancelled)
    assert store.find(address_of(Sam2(), asked)) is None
