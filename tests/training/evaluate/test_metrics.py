"""What the numbers of the table mean, on videos whose scores can be said in advance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from training.evaluate import metrics
from training.evaluate.metrics import CAP
from training.evaluate.perceptual import lpips
from training.evaluate.regions import regions

VIDEO = arrays.arrays(np.uint8, (2, 20, 24, 3))
MASKS = arrays.arrays(np.bool_, (2, 20, 24, 2)).map(lambda on: np.where(on, 255, 0).astype(np.uint8))


def _noise(seed: int = 0, shape: tuple[int, ...] = (3, 24, 32, 3)) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


@settings(max_examples=40)
@given(video=VIDEO, truth=VIDEO, masks=MASKS, keep=st.sampled_from([(), (0,), (1,)]))
def test_the_regions_are_disjoint_and_cover_every_frame(
    video: np.ndarray, truth: np.ndarray, masks: np.ndarray, keep: tuple[int, ...]
) -> None:
    found = regions(video, truth, masks, keep=keep)
    assert (found.removed.astype(int) + found.effect + found.outside == 1).all()
    assert not (found.kept & found.removed).any()
    removed = [n for n in range(2) if n not in keep]
    assert found.removed[(masks[..., removed] > 0).any(axis=-1)].all()
    assert (found.changed == (found.removed | found.effect)).all()


@settings(max_examples=40)
@given(video=VIDEO, masks=MASKS)
def test_outside_differs_from_the_input_by_no_more_than_the_threshold(video: np.ndarray, masks: np.ndarray) -> None:
    truth = np.roll(video, 1, axis=1)
    found = regions(video, truth, masks, keep=())
    difference = np.abs(video.astype(int) - truth).max(axis=-1)
    assert (difference[found.outside] <= 5).all()
    assert (difference[found.effect] > 5).all()


def test_where_truth_is_the_input_copying_scores_as_copying() -> None:
    video = (_noise() * 255).astype(np.uint8)
    truth, masks = video.copy(), np.zeros((3, 24, 32, 1), np.uint8)
    truth[:, :8, :8], masks[:, :8, :8] = 0, 255
    found = regions(video, truth, masks, keep=())
    copied, right = (np.divide(one, 255, dtype=np.float32) for one in (video, truth))
    assert metrics.psnr(copied, right, found.outside) == CAP
    assert not found.effect.any()
    scored = metrics.psnr(copied, right, found.removed)
    assert scored is not None and scored < 10


def test_the_truth_itself_reaches_the_ends_of_every_scale() -> None:
    video, everywhere = _noise(), np.ones((3, 24, 32), np.bool_)
    assert metrics.psnr(video, video) == CAP
    assert metrics.ssim(video, video) == pytest.approx(1)
    assert metrics.flicker(video, video, everywhere) == 0
    alpha = video[..., 0]
    assert metrics.alpha_sad(alpha, alpha) == metrics.alpha_mse(alpha, alpha) == 0
    assert metrics.foreground_error(video, video, alpha) == 0
    assert metrics.iou(everywhere, everywhere) == 1


def test_psnr_of_a_known_error() -> None:
    black = np.zeros((1, 16, 16, 3), np.float32)
    assert metrics.psnr(black + np.float32(0.1), black) == pytest.approx(20, abs=1e-3)
    half = np.zeros((1, 16, 16), np.bool_)
    half[:, :8] = True
    error = np.where(half[..., None], np.float32(0.1), 0)
    assert metrics.psnr(black + error, black, half) == pytest.approx(20, abs=1e-3)
    assert metrics.psnr(black + error, black, ~half) == CAP


def test_a_handful_of_pixels_has_no_score() -> None:
    few = np.zeros((3, 24, 32), np.bool_)
    few[0, 0, :9] = True
    assert metrics.psnr(_noise(), _noise(1), few) is None
    assert metrics.flicker(_noise(), _noise(1), few) is None
    assert metrics.mean([None, 2.0, None, 4.0]) == 3.0
    assert metrics.mean([None]) is None


def test_structure_matters_to_ssim_and_brightness_hardly() -> None:
    video, other = (0.8 * _noise(seed).astype(np.float32) for seed in (0, 1))
    brighter = video + np.float32(0.05)
    assert metrics.ssim(brighter, video) > 0.9 > 0.3 > metrics.ssim(other, video)
    assert metrics.ssim(other, video) == pytest.approx(metrics.ssim(video, other))


def test_a_constant_error_does_not_flicker_and_an_alternating_one_does() -> None:
    truth, everywhere = _noise(), np.ones((3, 24, 32), np.bool_)
    assert metrics.flicker(truth + np.float32(0.1), truth, everywhere) == pytest.approx(0, abs=1e-3)
    signs = np.array([1, -1, 1], np.float32)[:, None, None, None]
    assert metrics.flicker(truth + signs * np.float32(1 / 255), truth, everywhere) == pytest.approx(2, abs=1e-3)


def test_layers_are_measured_where_they_are() -> None:
    alpha = np.zeros((2, 20, 20), np.float32)
    alpha[:, :10] = 1
    assert metrics.alpha_sad(np.zeros_like(alpha), alpha) == pytest.approx(0.2)
    assert metrics.alpha_mse(np.zeros_like(alpha), alpha) == pytest.approx(500)
    rgb = np.zeros((2, 20, 20, 3), np.float32)
    wrong_where_clear = rgb.copy()
    wrong_where_clear[:, 10:] = 1
    assert metrics.foreground_error(wrong_where_clear, rgb, alpha) == 0
    assert metrics.foreground_error(rgb + 1, rgb, alpha) == pytest.approx(255)


def test_only_pairs_that_cross_count_for_the_order() -> None:
    truth = np.array([[0, 1, 2], [2, 1, 0]])
    crossing = np.zeros((2, 3, 3), np.bool_)
    crossing[:, 0, 1] = True
    assert metrics.pair_order(truth, truth, crossing) == (2, 2)
    assert metrics.pair_order(truth[::-1], truth, crossing) == (0, 2)
    assert metrics.pair_order(np.array([[0, 2, 1], [2, 1, 0]]), truth, crossing) == (2, 2)


def test_objects_cross_where_one_hides_the_other() -> None:
    alphas = np.zeros((2, 1, 20, 40), np.float32)
    alphas[0, :, 5:15, 5:20] = alphas[1, :, 5:15, 15:30] = 1
    masks = np.where(alphas > 0, 255, 0).astype(np.uint8).transpose(1, 2, 3, 0).copy()
    masks[..., 0][masks[..., 1] > 0] = 0
    assert metrics.crossings(masks, alphas)[0, 0, 1]
    assert metrics.crossings(masks, None)[0, 0, 1]
    apart = np.roll(masks[..., 1], 10, axis=2)
    masks[..., 1] = apart
    alphas[1] = apart > 0
    assert not metrics.crossings(masks, alphas).any()


def test_lpips_is_left_out_where_its_weights_are_not(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert lpips() is None
