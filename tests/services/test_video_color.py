"""RGB is what the stream's matrix and range say, to the rounding of a code."""

import av
import numpy as np
import pytest

from services.video.color import Color, alpha_of, depth_of, describe, to_rgb

KR_KB = {"bt709": (0.2126, 0.0722), "bt601": (0.299, 0.114), "bt2020": (0.2627, 0.0593)}


def flat_frame(pixel_format: str, codes: tuple[int, ...], *, height: int = 48, width: int = 64) -> av.VideoFrame:
    frame = av.VideoFrame(width, height, pixel_format)
    kind = np.uint16 if depth_of(frame.format) > 8 else np.uint8
    for plane, code in zip(frame.planes, codes, strict=True):
        np.asarray(memoryview(plane)).view(kind)[...] = code
    return frame


def true_rgb(codes: tuple[int, ...], matrix: str, full: bool, bits: int) -> np.ndarray:
    kr, kb = KR_KB[matrix]
    scale, top = 1 << (bits - 8), (1 << bits) - 1
    y, u, v = codes[:3]
    luma = y / top if full else (y - 16 * scale) / (219 * scale)
    cb, cr = ((c - 128 * scale) / (top if full else 224 * scale) for c in (u, v))
    red, blue = luma + 2 * (1 - kr) * cr, luma + 2 * (1 - kb) * cb
    return np.clip([red, (luma - kr * red - kb * blue) / (1 - kr - kb), blue], 0, 1)


@pytest.mark.parametrize("matrix", ["bt601", "bt709", "bt2020"])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    ("pixel_format", "bits"), [("yuv420p", 8), ("yuv444p", 8), ("yuv422p10le", 10), ("yuv444p12le", 12)]
)
def test_rgb_follows_matrix_and_range(matrix, full, pixel_format, bits):
    codes = tuple(code << (bits - 8) for code in (120, 110, 150))
    rgb = to_rgb(flat_frame(pixel_format, codes), Color(matrix=matrix, full_range=full))
    assert rgb.dtype == (np.uint8 if bits == 8 else np.uint16)
    peak = 255 if bits == 8 else 65535
    expected = true_rgb(codes, matrix, full, bits) * peak
    assert np.abs(rgb.astype(float) - expected).max() <= (1.01 if bits == 8 else 8)


def test_white_of_a_10_bit_clip_is_the_largest_code():
    rgb = to_rgb(flat_frame("yuv444p10le", (940, 512, 512)), Color(matrix="bt709", full_range=False))
    assert rgb.min() == rgb.max() == 65535


def test_an_untagged_clip_follows_the_size_convention():
    assert describe(flat_frame("yuv420p", (16, 128, 128), height=576, width=720)).matrix == "bt601"
    large = describe(flat_frame("yuv420p", (16, 128, 128), height=720, width=1280))
    assert large.matrix == "bt709" and not large.tagged and not large.full_range


def test_tags_win_over_the_convention():
    frame = flat_frame("yuv420p", (16, 128, 128))
    frame.colorspace, frame.color_range = 1, 2
    color = describe(frame)
    assert (color.matrix, color.full_range, color.tagged) == ("bt709", True, True)


def test_alpha_is_exact_at_widths_that_the_scaler_is_not_made_for():
    sent = np.random.default_rng(0).integers(0, 256, (480, 854), np.uint8)
    frame = flat_frame("yuva420p", (120, 128, 128, 0), height=480, width=854)
    np.asarray(memoryview(frame.planes[3])).reshape(480, -1)[:, :854] = sent
    for _ in range(60):
        assert np.array_equal(alpha_of(frame), sent)
