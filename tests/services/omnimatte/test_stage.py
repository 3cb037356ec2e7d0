"""One object's layer from a pair of videos whose layers are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from services.errors import BadOption, Cancelled, Internal
from services.omnimatte import attempt, fast, stage
from services.omnimatte.reference import layer as reference
from services.omnimatte.reference import solve
from services.stage import Progress
from tests.services.omnimatte.run import Layer, decompose
from tests.services.omnimatte.scene import Scene, disturbed, render, resized

BASE = (64, 112)


def pair(scene: Scene, background: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """The stage's inputs for a scene whose background was estimated as `background` (default: perfectly)."""
    behind = scene.background if background is None else background
    return {
        "video": np.rint(scene.solo * 255).astype(np.uint8),
        "background": resized(behind, *BASE).astype(np.float16),
        "background_ssr": behind.astype(np.float16),
        "solo": resized(scene.solo, *BASE).astype(np.float16),
        "solo_ssr": scene.solo.astype(np.float16),
        "ball": scene.mask,
    }


@pytest.fixture(scope="module")
def scene() -> Scene:
    return render(frames=4, height=96, width=160)


@pytest.fixture(scope="module")
def layer(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Layer:
    return decompose(tmp_path_factory.mktemp("store"), pair(scene))


def test_the_object_is_opaque_and_the_rest_empty(scene: Scene, layer: Layer) -> None:
    assert layer.alpha[scene.ball].min() > 0.95
    assert layer.alpha[scene.far].mean() < 0.01
    assert np.abs(layer.alpha - scene.alpha).mean() < 0.01


def test_the_shadow_outside_the_mask_belongs_to_the_layer(scene: Scene, layer: Layer) -> None:
    assert abs(layer.alpha[scene.shadow].mean() - 0.5) < 0.05
    assert layer.rgb[scene.shadow].mean() < 0.1  # black, not the ground's colour


def test_the_layer_over_the_background_gives_the_solo_video(scene: Scene, layer: Layer) -> None:
    measured = layer.recomposition_db(scene.solo, scene.background)
    assert measured >= 35
    assert layer.meta["residual_db"] == pytest.approx(measured, abs=0.1)


def test_values_are_colours_and_opacities(scene: Scene, layer: Layer) -> None:
    assert layer.alpha.shape == (*scene.solo.shape[:3], 1)
    assert layer.rgb.shape == scene.solo.shape
    for values in (layer.alpha, layer.rgb):
        assert np.isfinite(values).all()
        assert values.min() >= 0
        assert values.max() <= 1
    assert {k: layer.meta[k] for k in ("frames", "height", "width")} == {"frames": 4, "height": 96, "width": 160}


@pytest.mark.parametrize("sigma", [0.01, 0.02])
def test_a_noisy_background_leaves_no_haze(scene: Scene, tmp_path: Path, sigma: float) -> None:
    noisy = decompose(tmp_path, pair(scene, disturbed(scene.background, sigma=sigma)))
    assert noisy.alpha[scene.far].mean() < 0.01
    assert noisy.alpha[scene.ball].min() > 0.95
    assert abs(noisy.alpha[scene.shadow].mean() - 0.5) < 0.08


def test_the_same_seed_gives_the_same_pixels(scene: Scene, layer: Layer, tmp_path: Path) -> None:
    again = decompose(tmp_path, pair(scene))
    assert np.array_equal(again.alpha, layer.alpha)
    assert np.array_equal(again.rgb, layer.rgb)


def test_a_single_object_has_the_input_for_its_solo_video(scene: Scene, tmp_path: Path) -> None:
    inputs = {name: array for name, array in pair(scene).items() if not name.startswith("solo")}
    alone = decompose(tmp_path, inputs)
    assert alone.alpha[scene.ball].min() > 0.95
    assert abs(alone.alpha[scene.shadow].mean() - 0.5) < 0.05


def test_one_frame_of_odd_size_is_enough(tmp_path: Path) -> None:
    single = render(frames=1, height=71, width=117)
    found = decompose(tmp_path, pair(single))
    assert found.alpha.shape == (1, 71, 117, 1)
    assert found.alpha[single.ball].min() > 0.95


def test_a_frame_without_the_object_is_empty(tmp_path: Path) -> None:
    full = render(frames=2, height=71, width=117)
    solo, mask = full.solo.copy(), full.mask.copy()
    solo[1], mask[1] = full.background[1], 0
    inputs = pair(full) | {
        "solo": resized(solo, *BASE).astype(np.float16),
        "solo_ssr": solo.astype(np.float16),
        "ball": mask,
    }
    assert decompose(tmp_path, inputs).alpha[1].max() < 0.01


@pytest.mark.parametrize("schedule", ["draft", "reference"])
@pytest.mark.parametrize("case", ["never there", "fills the frame", "never moves", "leaves no trace"])
def test_odd_objects_end_in_a_layer_that_is_right(tmp_path: Path, case: str, schedule: str) -> None:
    odd = render(frames=1, height=50, width=70)
    inputs = {name: np.repeat(array, 2, axis=0) for name, array in pair(odd).items()}
    if case == "never there":
        inputs["ball"] = np.zeros_like(inputs["ball"])
    if case == "fills the frame":
        inputs["ball"] = np.full_like(inputs["ball"], 255)
    if case in ("never there", "leaves no trace"):
        inputs |= {"solo": inputs["background"], "solo_ssr": inputs["background_ssr"]}
    layer = decompose(tmp_path, inputs, schedule=schedule, schedules=SHORT)
    assert np.isfinite(layer.alpha).all() and np.isfinite(layer.rgb).all()
    assert layer.recomposition_db(inputs["solo_ssr"].astype(np.float32), inputs["background_ssr"]) > 15
    if schedule == "draft":
        assert layer.recomposition_db(inputs["solo_ssr"].astype(np.float32), inputs["background_ssr"]) > 35
        wanted = {"never there": 0.0, "fills the frame": 1.0, "never moves": float(odd.alpha.mean())}
        assert abs(layer.alpha.mean() - wanted.get(case, layer.alpha.mean())) < 0.03


def test_a_part_that_another_object_hid_is_opaque_in_the_layer(scene: Scene, tmp_path: Path) -> None:
    """The solo video shows all of the ball; the given mask ends where the cube stood in front of it."""
    cube = np.zeros_like(scene.mask)
    for t, mask in enumerate(scene.mask[..., 0]):
        middle = int(np.argwhere(mask).mean(axis=0)[1])
        cube[t, 20:70, middle : middle + 40] = 255
    given = pair(scene) | {"ball": np.where(cube > 0, 0, scene.mask).astype(np.uint8), "cube": cube}
    alpha = decompose(tmp_path, given).alpha
    hidden = scene.ball & (cube[..., 0] > 0)
    assert hidden.sum() > 200
    assert np.median(alpha[hidden]) > 0.95 and alpha[hidden].mean() > 0.9
    assert abs(alpha[scene.shadow].mean() - 0.5) < 0.1
    assert alpha[scene.far].mean() < 0.02


def stopped_after(count: int, note: str) -> tuple[list[Progress], Callable[[], bool]]:
    """Where progress goes, and a wish to cancel once `note` was heard `count` times."""
    seen: list[Progress] = []
    return seen, lambda: sum(p.note.startswith(note) for p in seen) >= count


def test_a_cancelled_run_stops_within_an_iteration_and_leaves_no_layer(scene: Scene, tmp_path: Path) -> None:
    seen, cancelled = stopped_after(1, "base pass")
    with pytest.raises(Cancelled):
        decompose(tmp_path, pair(scene), on_progress=seen.append, cancelled=cancelled)
    assert sum(p.note.startswith("base pass") for p in seen) == 1
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in written if "alpha" in path.parts or "rgb" in path.parts]


PASSES = tuple(replace(one, iterations=8, batch=2) for one in (solve.BASE, solve.WORKING))
SHORT: dict[str, stage.Schedule] = {
    "draft": replace(fast.DRAFT, base_steps=8, working_steps=8, saved_every=3),
    "reference": reference.Schedule(*PASSES, saved_every=3),
}


@pytest.mark.parametrize("schedule", ["draft", "reference"])
@pytest.mark.parametrize(("note", "count"), [("base pass", 5), ("working pass", 4)])
def test_a_run_that_was_stopped_goes_on_and_ends_bit_identical(
    scene: Scene, tmp_path: Path, schedule: str, note: str, count: int
) -> None:
    run = partial(decompose, arrays=pair(scene), schedule=schedule, schedules=SHORT)
    whole = run(tmp_path / "whole")
    seen, cancelled = stopped_after(count, note)
    with pytest.raises(Cancelled):
        run(tmp_path / "again", on_progress=seen.append, cancelled=cancelled)
    assert list(tmp_path.rglob("checkpoint"))
    later: list[Progress] = []
    resumed = run(tmp_path / "again", on_progress=later.append)
    assert np.array_equal(resumed.alpha, whole.alpha) and np.array_equal(resumed.rgb, whole.rgb)
    # What was saved is not done again: only the step that was restored, and those after it, are heard of.
    repeated = sum(p.note.startswith(note) for p in seen) + sum(p.note.startswith(note) for p in later)
    assert repeated <= 8 + 3
    assert later[-1].done == later[-1].total
    assert not list(tmp_path.rglob("checkpoint"))


def test_a_checkpoint_that_cannot_be_read_costs_one_attempt(scene: Scene, tmp_path: Path) -> None:
    run = partial(decompose, tmp_path, pair(scene), schedules=SHORT)
    seen, cancelled = stopped_after(5, "base pass")
    with pytest.raises(Cancelled):
        run(on_progress=seen.append, cancelled=cancelled)
    next(tmp_path.rglob("checkpoint")).write_bytes(b"not a state")
    with pytest.raises(Internal):
        run()
    assert run().meta["frames"] == 4


def test_the_reference_schedule_finds_the_object_and_its_shadow(scene: Scene, tmp_path: Path) -> None:
    base, working = replace(solve.BASE, iterations=220), replace(solve.WORKING, iterations=60)
    schedules = {"reference": reference.Schedule(base, working)}
    layer = decompose(tmp_path, pair(scene), schedule="reference", schedules=schedules)
    assert layer.alpha[scene.ball].mean() > 0.9
    assert layer.alpha[scene.shadow].mean() > 0.25
    assert layer.alpha[scene.far].mean() < 0.05
    assert layer.alpha.min() >= 0 and layer.alpha.max() <= 1


def test_progress_rises_to_its_total(scene: Scene, tmp_path: Path) -> None:
    seen: list[Progress] = []
    decompose(tmp_path, {k: v[:1] for k, v in pair(scene).items()}, on_progress=seen.append)
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert seen[-1].done == seen[-1].total


def test_progress_tells_the_losses_and_shows_the_layer(
    monkeypatch: pytest.MonkeyPatch, scene: Scene, tmp_path: Path
) -> None:
    monkeypatch.setattr(attempt, "_PREVIEW_SECONDS", 0.0)
    seen: list[Progress] = []
    decompose(tmp_path, pair(scene), on_progress=seen.append)
    steps = [p for p in seen if p.note in ("base pass", "working pass")]
    assert all(set(p.losses) == {"reconstruction", "sparsity", "supervision"} for p in steps)
    shown = cv2.imdecode(np.frombuffer(steps[-1].preview, np.uint8), cv2.IMREAD_UNCHANGED)
    assert shown.shape == (64, 112, 4)
    assert shown[..., 3].min() == 0 and shown[..., 3].max() > 240
    assert len(steps[-1].preview) < 10_000


def test_an_input_with_values_that_are_no_numbers_is_named(scene: Scene, tmp_path: Path) -> None:
    broken = pair(scene)
    broken["solo_ssr"] = broken["solo_ssr"].copy()
    broken["solo_ssr"][2, 5, 5] = np.nan
    with pytest.raises(Internal, match="solo_ssr"):
        decompose(tmp_path, broken)


@pytest.mark.parametrize(("change", "names"), [({"label": "vase"}, "vase"), ({"schedule": "slow"}, "slow")])
def test_an_unknown_choice_is_named(scene: Scene, tmp_path: Path, change: dict[str, str], names: str) -> None:
    with pytest.raises(BadOption, match=names):
        decompose(tmp_path, pair(scene), **change)  # type: ignore[arg-type]


def test_a_pair_of_different_lengths_is_refused(scene: Scene, tmp_path: Path) -> None:
    inputs = pair(scene)
    with pytest.raises(BadOption, match="another number of frames"):
        decompose(tmp_path, inputs | {"solo_ssr": inputs["solo_ssr"][:-1]})
