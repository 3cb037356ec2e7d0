"""Tripod pairs from a real encoded file: a disc with a shadow crosses a still picture."""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from services.errors import BadVideo
from services.video.encode import Form, Movie
from services.video.timing import Timeline
from training.data import tripod

H, W, T = 192, 336, 30


def _film(path: Path, *, moving: bool) -> np.ndarray:
    """Write the clip; returns its plate [T, H, W, 3], light included."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(60, 200, (24, 64, 3)).astype(np.float32)
    photo = cv2.resize(coarse, (W + 128, H), interpolation=cv2.INTER_CUBIC)
    light = np.linspace(1.0, 1.1, T)
    shift = [4 * t if moving else 0 for t in range(T)]
    plate = np.stack([photo[:, s : s + W] * g for s, g in zip(shift, light, strict=True)]).clip(0, 255)
    movie = Movie(path, Form(width=W, height=H, timeline=Timeline(fps=Fraction(24))), family="prores", alpha=False)
    for t in range(T):
        frame = plate[t].copy()
        x = -40 + 14 * t
        shadow = cv2.ellipse(np.ones((H, W), np.float32), (x + 30, 130), (30, 8), 0, 0, 360, 0.6, -1)
        frame *= cv2.GaussianBlur(shadow, (0, 0), 2)[..., None]
        cv2.circle(frame, (x, 100), 24, (230, 20, 30), -1)
        movie.write((frame + 0.5).astype(np.uint8))
    movie.close()
    return plate


def test_object_and_shadow_leave_the_pseudo_background(tmp_path: Path) -> None:
    plate = _film(tmp_path / "still.mov", moving=False)
    video = tripod.read(tmp_path / "still.mov")
    assert tripod.static_stretch(video) == range(T)
    empty = tripod.empty_plate(video)
    masks = tripod.difference_masks(video, empty)
    made = tripod.keep_unchanged(video, empty, masks)
    error = np.abs(made.astype(np.float32) - plate)
    assert error.mean() < 2 and np.abs(video - plate).max() > 100 and np.percentile(error, 99.9) < 12
    disc = cv2.circle(np.zeros((H, W), np.uint8), (-40 + 14 * 15, 100), 24, 255, -1) > 0
    mask = masks[15] > 0
    assert (mask & disc).sum() / (mask | disc).sum() > 0.85


def test_a_pair_has_the_same_camera_in_all_its_parts_and_comes_again(tmp_path: Path) -> None:
    _film(tmp_path / "still.mov", moving=False)
    video = tripod.read(tmp_path / "still.mov")
    first, again = (tripod.pair_of(video, name="still", rng=np.random.default_rng(3)) for _ in range(2))
    assert first.video.shape == (T, 128, 224, 3) and first.background is not None and again.background is not None
    assert np.array_equal(first.background, again.background)
    far = cv2.dilate(first.masks[15, ..., 0], np.ones((61, 61), np.uint8)) == 0
    assert np.abs(first.video[15].astype(int) - first.background[15])[far].mean() < 1


def test_a_moving_camera_is_refused(tmp_path: Path) -> None:
    _film(tmp_path / "pan.mov", moving=True)
    with pytest.raises(BadVideo, match="camera moves"):
        tripod.pair_of(tripod.read(tmp_path / "pan.mov"), name="pan", rng=np.random.default_rng(0))
