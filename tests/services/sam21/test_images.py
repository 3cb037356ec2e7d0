"""Frames into the model's square, logits back to masks, against plain formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from services.sam21 import images

CPU = torch.device("cpu")
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def triangle(frame: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Resize one axis by the antialiased linear filter, written as the sum that it is."""
    old = frame.shape[axis]
    scale = max(1.0, old / size)
    weights = np.zeros((size, old))
    for i in range(size):
        centre = (i + 0.5) * old / size
        weights[i] = np.maximum(0, 1 - np.abs((np.arange(old) + 0.5 - centre) / scale))
        weights[i] /= weights[i].sum()
    return np.moveaxis(np.tensordot(weights, frame, (1, axis)), 0, axis)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(48, 64), (16, 100), (32, 32)])
def test_a_frame_is_squeezed_into_the_square_and_normalised(shape: tuple[int, int], dtype: type) -> None:
    top = np.iinfo(dtype).max
    frame = np.random.default_rng(0).integers(0, top, (*shape, 3), dtype)
    found = images.squared(frame, size=32, device=CPU)[0].permute(1, 2, 0).numpy()
    plain = triangle(triangle(frame / top, 32, 0), 32, 1)
    assert found.shape == (32, 32, 3) and found.dtype == np.float32
    assert np.abs(found - (plain - MEAN) / DEVIATION).max() < 2e-5


def test_a_mask_is_squeezed_where_it_covers_half_a_pixel() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[:, :33] = 255
    found = images.squared_mask(mask, size=32, device=CPU)[0, 0].numpy()
    assert (found[:, :16] == 1).all() and (found[:, 17:] == 0).all()


def test_a_pixel_that_several_objects_claim_goes_to_the_highest_logit() -> None:
    logits = torch.tensor([[[3.0, 1.0, -1.0, 2.0]], [[2.0, 4.0, -2.0, 2.0]], [[-5.0, 0.5, -0.5, 1.0]]])
    masks = images.separated(logits, height=1, width=4)
    assert masks.dtype == np.uint8 and masks.shape == (1, 4, 3)
    # Nobody claims the third; the first of two that are equally sure gets the fourth.
    assert masks[0].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 0], [255, 0, 0]]


def test_logits_are_enlarged_before_they_are_compared() -> None:
    logits = torch.tensor([[[4.0, -4.0]], [[-4.0, 4.0]]])
    masks = images.separated(logits, height=4, width=8)
    assert (masks[:, :4, 0] == 255).all() and (masks[:, 4:, 1] == 255).all()
    assert ((masks > 0).sum(-1) <= 1).all()
