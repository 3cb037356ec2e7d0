"""Preparation of frames: sizes and pixels against plain formulas."""

import cv2
import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_video_diffusion import pipeline_stable_video_diffusion as svd
from hypothesis import given
from hypothesis import strategies as st

from services.depth.large import crafter_images, images
from services.depth.large.estimator import Size

SIDES = st.integers(1, 5000)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (1080, 1920, (518, 924)),
        (1920, 1080, (924, 518)),
        (480, 640, (518, 686)),
        (127, 225, (518, 924)),
        (1, 1, (518,) * 2),
    ],
)
def test_the_short_side_becomes_518(height: int, width: int, expected: tuple[int, int]) -> None:
    assert images.network_size(height, width, longest=16 / 9) == Size(*expected)


@given(SIDES, SIDES)
def test_sides_are_multiples_of_the_patch_and_patches_are_bounded(height: int, width: int) -> None:
    size = images.network_size(height, width, longest=16 / 9)
    assert size.height % 14 == size.width % 14 == 0 and min(size.height, size.width) >= 14
    assert size.height * size.width <= 600 * 1000 or max(height, width) > 60 * min(height, width)


def test_a_frame_is_resampled_by_cubics_and_normalised() -> None:
    frame = np.random.default_rng(0).random((30, 50, 3), np.float32)
    made = images.network_input(frame, Size(28, 42))
    scaled = cv2.resize(frame, (42, 28), interpolation=cv2.INTER_CUBIC)
    for channel, (mean, deviation) in enumerate(zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)):
        np.testing.assert_allclose(made[channel], (scaled[..., channel] - mean) / deviation, atol=1e-6)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (576, 1024, (576, 1024)),
        (1080, 1920, (576, 1024)),
        (1920, 1080, (1024, 576)),
        (480, 854, (512, 832)),
        (9, 9, (64, 64)),
    ],
)
def test_depthcrafter_sees_multiples_of_64_up_to_1024(height: int, width: int, expected: tuple[int, int]) -> None:
    assert crafter_images.network_size(height, width) == Size(*expected)


@pytest.mark.parametrize("shape", [(64, 64), (300, 500), (576, 1024)])
def test_clips_small_picture_is_that_of_stable_video_diffusion(shape: tuple[int, int]) -> None:
    frames = torch.rand(2, 3, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    small = (svd._resize_with_antialiasing(frames, (224, 224)) + 1) / 2
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
    deviation = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
    torch.testing.assert_close(crafter_images.clip_input(frames), (small - mean) / deviation, atol=1e-5, rtol=0)
