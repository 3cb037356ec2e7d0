"""Small clips in every codec and container, made by the tests that need them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray


def moving_square(frames: int, height: int, width: int, *, seed: int = 0) -> NDArray[np.uint8]:
    """[T, H, W, 3] uint8: smooth colours, and a bright square that moves right."""
    rng = np.random.default_rng(seed)
    base = cv2.resize(
        rng.integers(40, 160, (4, 5, 3)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
    )
    clip = np.repeat(np.clip(base, 0, 255)[None], frames, axis=0).astype(np.uint8)
    side = max(4, height // 4)
    for t in range(frames):
        x = (3 * t) % max(1, width - side)
        clip[t, side : 2 * side, x : x + side] = (230, 220, 60)
    return clip


def make_clip(
    path: Path,
    pixels: NDArray[Any],
    *,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    rate: Fraction = Fraction(24),
    pts: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 1000),
    rotation: float = 0,
    aspect: Fraction | None = None,
    matrix: int = 2,
    full_range: bool = False,
    primaries: int = 2,
    transfer: int = 2,
    audio: str = "",
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write [T, H, W, 3] pixels (uint8 or uint16 RGB) as a video file.

    pts: frame times in `time_base`, for a variable rate. matrix: 1 BT.709, 6 BT.601, 2 untagged (then coded as BT.601).
    primaries, transfer: as numbers of H.273; 2 untagged.
    """
    with av.open(str(path), "w", options=container_options or {}) as output:
        stream = output.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = pixels.shape[1:3]
        stream.pix_fmt = pixel_format
        context = stream.codec_context
        context.colorspace = matrix
        context.color_range = 2 if full_range else (1 if matrix != 2 else 0)
        context.color_primaries, context.color_trc = primaries, transfer
        if pts is not None:
            context.time_base = time_base
        if aspect is not None:
            context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        sound = output.add_stream(audio, rate=48000, layout="stereo") if audio else None
        for t, image in enumerate(pixels):
            deep = image.dtype == np.uint16
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb48le" if deep else "rgb24").reformat(
                format=pixel_format,
                dst_colorspace=1 if matrix == 1 else 5,
                dst_color_range=2 if full_range else 1,
                src_color_range=2,
            )
            frame.color_primaries, frame.color_trc = primaries, transfer
            frame.pts = t if pts is None else pts[t]
            frame.time_base = 1 / rate if pts is None else time_base
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if sound is not None:
            _tone(output, sound, seconds=float(len(pixels) / rate))
    return path


def _tone(output: Any, stream: Any, *, seconds: float) -> None:
    wave = (np.sin(np.arange(int(48000 * seconds)) * 0.05) * 8000).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(np.repeat(wave, 2)[None], format="s16", layout="stereo")
    frame.sample_rate, frame.pts = 48000, 0
    resampler = av.AudioResampler(format=stream.codec_context.format, layout="stereo", rate=48000)
    for piece in [*resampler.resample(frame), *resampler.resample(None)]:
        output.mux(stream.encode(piece))
    output.mux(stream.encode(None))


def png_bytes(image: NDArray[Any]) -> bytes:
    """[H, W], [H, W, 3] RGB or [H, W, 4] RGBA as PNG."""
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".png", image)[1])


def tar_bytes(files: dict[str, bytes]) -> bytes:
    """An uncompressed tar of `files`, in the given order."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
