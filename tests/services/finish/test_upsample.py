"""Alpha brought to the clip's size follows the picture's edges, and never invents any."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.finish.upsample import enlarged, guided


def shot(height: int = 270, width: int = 480, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A ragged object before a textured ground: the picture and the object's true alpha."""
    rng = np.random.default_rng(seed)
    ground = cv2.resize(rng.random((20, 36, 3)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle = np.arctan2(y - height / 2, x - width / 2)
    radius = height / 4 + height / 20 * np.sin(9 * angle) + height / 50 * np.sin(31 * angle)
    alpha = np.clip(radius - np.hypot(x - width / 2, y - height / 2) + 0.5, 0, 1)[..., None]
    picture = np.clip(ground * 0.6 + alpha * (np.array([0.9, 0.2, 0.1], np.float32) - ground * 0.6), 0, 1)
    return (picture + rng.normal(0, 0.005, picture.shape)).astype(np.float32), alpha.astype(np.float32)


@pytest.mark.parametrize("factor", [1.5, 3])
def test_edges_come_out_nearer_to_the_truth_than_bilinear(factor):
    picture, alpha = shot()
    size = (round(480 / factor), round(270 / factor))
    low = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)[..., None]
    plain = np.abs(enlarged(low, width=480, height=270) - alpha).mean()
    followed = np.abs(guided(low, picture) - alpha).mean()
    assert followed < 0.6 * plain


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_it_stays_in_range_and_flat_where_alpha_is_flat(seed):
    picture, alpha = shot(90, 160, seed=seed)
    noise = np.random.default_rng(seed).random(picture.shape).astype(np.float32)
    low = cv2.resize(alpha, (53, 30), interpolation=cv2.INTER_AREA)[..., None]
    result = guided(low, noise)
    assert result.min() >= 0 and result.max() <= 1 and result.shape == (90, 160, 1)
    far = cv2.dilate((alpha[..., 0] > 0).astype(np.uint8), np.ones((25, 25))) == 0
    deep = cv2.erode((alpha[..., 0] == 1).astype(np.uint8), np.ones((25, 25))) > 0
    assert not result[far].any() and (result[deep] == 1).all()


def test_a_constant_picture_changes_nothing():
    _, alpha = shot(90, 160)
    low = cv2.resize(alpha, (53, 30), interpolation=cv2.INTER_AREA)[..., None]
    same = guided(low, np.full((90, 160, 3), 0.5, np.float32))
    assert np.abs(same - enlarged(low, width=160, height=90)).max() < 1e-3


@pytest.mark.parametrize("level", [0.0, 1.0, 0.4])
def test_a_flat_layer_stays_flat(level):
    picture, _ = shot(90, 160)
    low = np.full((30, 53, 1), level, np.float32)
    assert np.allclose(guided(low, picture), level, atol=1e-6)


def test_a_layer_of_the_clips_size_is_not_touched():
    picture, alpha = shot(90, 160)
    assert guided(alpha, picture) is alpha
