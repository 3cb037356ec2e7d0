"""Baselines, our stages as a method, and results read from folders."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.training.evaluate.toys import scene
from training.evaluate import against, methods, score
from training.evaluate.against import Against
from training.evaluate.metrics import CAP
from training.evaluate.ours import Options, Ours

TOY = scene()


def _values(name: str, keep: tuple[int, ...]) -> dict[str, float | None]:
    method = methods.baselines(layers=False)[name]
    (found,) = score.removal(TOY, method(TOY, [keep]), [keep], method=name, perceptual=None)
    return dict(found.values)


@pytest.mark.parametrize("name", ["identity", "telea"])
@pytest.mark.parametrize("keep", [(), (1,)])
def test_baselines_that_copy_score_as_copying(name: str, keep: tuple[int, ...]) -> None:
    values = _values(name, keep)
    assert values["outside"] is not None and values["outside"] > 50
    assert values["effect"] is not None and values["effect"] < 20
    assert (values["kept"] is None) == (not keep)


def test_the_medians_see_behind_what_moves_and_leave_the_kept_object() -> None:
    # The wall stands still, so that both see what the squares uncover; the plate finds no motion.
    for name in ("median", "plate"):
        background, solo = _values(name, ()), _values(name, (1,))
        assert background["outside"] is not None and background["outside"] > 30
        assert solo["kept"] == CAP


def test_our_stages_answer_every_run_and_say_what_they_took(weights: Path) -> None:
    keeps = score.runs(TOY, every=True)
    assert keeps == ((), (0,), (1,))
    answer = Ours(Options(steps=1), weights)(TOY, keeps)
    assert set(answer.videos) == set(keeps)
    assert all(
        video.shape == TOY.video.shape and 0 <= video.min() <= video.max() <= 1 for video in answer.videos.values()
    )
    assert answer.seconds is not None and answer.seconds > 0
    again = Ours(Options(steps=1), weights)(TOY, keeps)
    assert all(np.array_equal(answer.videos[keep], again.videos[keep]) for keep in keeps)


def test_the_switches_of_the_ablations_change_what_casper_is_told(weights: Path) -> None:
    plain, masked, binary = (
        Ours(options, weights)(TOY, [()]).videos[()]
        for options in (Options(steps=1), Options(steps=1, masked_rgb=True), Options(steps=1, binary=True))
    )
    hole = TOY.masks.max(axis=-1) > 0
    assert np.abs(plain - masked)[hole].max() > 0.01
    assert np.abs(plain - binary)[~hole].max() > 1e-3


def test_layers_are_solved_ordered_and_scored(weights: Path, upscaler: Path) -> None:
    toy = scene(frames=1)
    solved, copied = (
        Ours(Options(steps=1, layers=True, schedule="draft", copied_rgb=copied), weights, upscaler)(toy, [()])
        for copied in (False, True)
    )
    assert solved.layers is not None and copied.layers is not None
    assert set(solved.videos) == {()}
    assert solved.layers.layers.shape == toy.layers.shape  # type: ignore[union-attr]
    assert solved.layers.order is not None and solved.layers.order.shape == (1, 2)
    assert not np.array_equal(solved.layers.layers[..., :3], copied.layers.layers[..., :3])
    (found,) = score.decomposition(toy, solved, method="ours")
    assert found.values["recomposition"] is not None and found.values["recomposition"] > 25
    assert found.values["sad"] is not None
    assert found.values["pairs"] == 1


def test_true_layers_score_perfectly() -> None:
    assert TOY.layers is not None and TOY.background is not None and TOY.order is not None
    made = methods.Decomposition(
        methods.to_float(TOY.layers), methods.to_float(TOY.background), TOY.order.astype(np.int64)
    )
    (found,) = score.decomposition(TOY, methods.Answer(layers=made), method="truth")
    assert found.values["sad"] == found.values["mse"] == found.values["foreground"] == 0
    assert found.values["iou"] == 1
    assert found.values["pairs right"] == found.values["pairs"] == 3
    assert found.values["recomposition"] is not None and found.values["recomposition"] > 50


def test_a_result_folder_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    assert TOY.background is not None and TOY.layers is not None
    here = tmp_path / TOY.name
    _images(here / "background", TOY.background)
    for n, layer in enumerate(TOY.layers):
        _images(here / f"layer_{n}", layer)
        _images(here / f"mask_{n}", TOY.masks[..., n])
    (here / "seconds.txt").write_text("2.5\n")
    answer = Against(tmp_path)(TOY, ((), (0,)))
    assert set(answer.videos) == {()}
    assert answer.seconds == 2.5
    (found,) = score.removal(TOY, answer, ((), (0,)), method="theirs", perceptual=None)
    assert found.values["psnr"] == CAP
    (layers,) = score.decomposition(TOY, answer, method="theirs")
    assert layers.values["sad"] == 0 and layers.values["iou"] == 1 and layers.values["pairs"] == 0


def test_results_that_are_missing_or_do_not_fit_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=TOY.name):
        Against(tmp_path)(TOY, ((),))
    assert TOY.background is not None
    _images(tmp_path / TOY.name / "background", TOY.background[:-1])
    with pytest.raises(ValueError, match="2 frames"):
        Against(tmp_path)(TOY, ((),))


def test_images_keep_their_colours_and_alpha(tmp_path: Path) -> None:
    rgba = np.random.default_rng(0).integers(0, 256, (2, 6, 8, 4), np.uint8)
    _images(tmp_path / "x", rgba)
    assert np.array_equal(against.images(tmp_path / "x"), rgba)


def _images(folder: Path, frames: np.ndarray) -> None:
    folder.mkdir(parents=True)
    for t, frame in enumerate(frames):
        swapped = frame if frame.ndim == 2 else frame[..., [2, 1, 0, *range(3, frame.shape[-1])]]
        assert cv2.imwrite(str(folder / f"{t:05d}.png"), swapped)
