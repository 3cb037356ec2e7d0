"""Packs the rendered frames into the files that ship: input.mp4, background.mp4, one mask video per object.

Why: rendering needs Blender's environment, encoding needs the project's; the folder of PNG frames is all
that passes between them, so this module knows codecs and no scene. See `render.py` for the two commands.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]

FPS = 24
SAMPLE_RATE = 48_000
# The colour channel in which the mask pass draws an object, in RGB order; the order is front to back.
CHANNELS = {"vase": 0, "orange": 1}
BT709 = 1
LIMITED_RANGE = 1


@dataclass(frozen=True)
class Coding:
    """How one H.264 file is written."""

    crf: int
    """Constant rate factor of x264; smaller is better and larger."""
    sound: NDArray[np.float32] | None = None
    """Stereo samples [2, N] in [-1, 1] at 48 kHz, or None for a silent file."""


def read_frames(folder: Path) -> Frames:
    """All PNG frames of `folder` in order, RGB [T, H, W, 3] uint8.

    Raises:
        FileNotFoundError: the folder holds no PNG frame.
    """
    paths = sorted(folder.glob("*.png"))
    if not paths:
        raise FileNotFoundError(f"No PNG frames in {folder}: render the pass {folder.name!r} first.")
    return np.stack([_read_image(path) for path in paths])


def _read_image(path: Path) -> Frames:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise FileNotFoundError(f"{path} is no readable image: delete it and render again.")
    return np.ascontiguousarray(image[..., ::-1]).astype(np.uint8)


def split_masks(coverage: Frames) -> dict[str, Frames]:
    """Disjoint masks [T, H, W] of 0 or 255 per label, where an object covers at least half of a pixel."""
    taken = np.zeros(coverage.shape[:3], bool)
    masks = {}
    for label, channel in CHANNELS.items():
        inside = (coverage[..., channel] >= 128) & ~taken
        taken |= inside
        masks[label] = inside.astype(np.uint8) * np.uint8(255)
    return masks


def ambient(seconds: float) -> NDArray[np.float32]:
    """A quiet major chord that swells and fades, stereo [2, N]: it is there to prove that audio passes through."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    swell = np.sin(np.pi * time / seconds) ** 2
    chord = sum(np.sin(2.0 * np.pi * hertz * time) for hertz in (220.0, 277.18, 329.63)) / 3.0
    beating = 1.0 + 0.2 * np.stack([np.sin(2.0 * np.pi * 1.5 * time), np.cos(2.0 * np.pi * 1.5 * time)])
    return (0.08 * swell * chord * beating).astype(np.float32)


def _add_picture(container: Any, frames: Frames, coding: Coding) -> Any:
    stream = container.add_stream("libx264", rate=FPS)
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt = "yuv420p"
    stream.time_base = Fraction(1, FPS)
    stream.options = {"crf": str(coding.crf), "preset": "veryslow", "profile": "high", "threads": "1"}
    context = stream.codec_context
    context.color_primaries = context.color_trc = context.colorspace = BT709
    context.color_range = LIMITED_RANGE
    return stream


def _picture(frame: Frames, index: int) -> av.VideoFrame:
    layout = "gray" if frame.ndim == 2 else "rgb24"
    source = av.VideoFrame.from_ndarray(frame, format=layout)
    picture = source.reformat(format="yuv420p", dst_colorspace="ITU709", src_color_range="JPEG", dst_color_range="MPEG")
    picture.pts, picture.time_base = index, Fraction(1, FPS)
    return picture


def _add_sound(container: Any, stream: Any, sound: NDArray[np.float32]) -> None:
    for start in range(0, sound.shape[1], 1024):
        block = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(sound[:, start : start + 1024]), format="fltp", layout="stereo"
        )
        block.sample_rate, block.pts, block.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
        container.mux(stream.encode(block))
    container.mux(stream.encode(None))


def write_video(path: Path, frames: Frames, *, coding: Coding) -> None:
    """H.264 High, yuv420p, tagged BT.709 limited range; frames are [T, H, W, 3] RGB or [T, H, W] gray uint8."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = _add_picture(container, frames, coding)
        voice = None
        if coding.sound is not None:
            voice = container.add_stream("aac", rate=SAMPLE_RATE, layout="stereo")
            voice.bit_rate = 64_000
        for index, frame in enumerate(frames):
            container.mux(stream.encode(_picture(frame, index)))
        container.mux(stream.encode(None))
        if voice is not None and coding.sound is not None:
            _add_sound(container, voice, coding.sound)


def decode(path: Path, *, layout: str) -> Frames:
    """The frames of a video as `layout` (`rgb24` or `gray`), as any reader of the clip would see them."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format=layout) for frame in container.decode(video=0)])


def write_mask(path: Path, mask: Frames) -> int:
    """The smallest mask video that still thresholds to `mask` at 128 in every pixel; returns the crf used.

    Raises:
        ValueError: even lossless coding does not give the mask back.
    """
    for crf in (10, 6, 3, 1):
        write_video(path, mask, coding=Coding(crf=crf))
        if all(_thresholds_to(mask, path, layout) for layout in ("gray", "rgb24")):
            return crf
    raise ValueError(f"{path} does not decode to its mask at any quality: check the colour range conversion.")


def _thresholds_to(mask: Frames, path: Path, layout: str) -> bool:
    seen = decode(path, layout=layout)
    value = seen if seen.ndim == 3 else seen[..., 0]
    return bool(np.array_equal(value >= 128, mask >= 128))


def psnr(first: Frames, second: Frames) -> float:
    error = np.mean((first.astype(np.float32) - second.astype(np.float32)) ** 2)
    return float(10.0 * np.log10(255.0**2 / max(float(error), 1e-9)))


def read_passes(frames: Path) -> dict[str, Frames]:
    """The passes that ship, by name; all of one length.

    Raises:
        FileNotFoundError: a pass holds no PNG frame.
        ValueError: the passes differ in length, as they do while a render is still going on.
    """
    passes = {name: read_frames(frames / name) for name in ("input", "background", "masks")}
    lengths = {name: len(images) for name, images in passes.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"The passes in {frames} differ in length {lengths}: let render.py finish, then pack again.")
    return passes


def pack(frames: Path, out: Path, *, say: Callable[[str], None] = print) -> None:
    """Write every shipped file of the clip from the passes under `frames`; nothing is written if one is incomplete."""
    passes = read_passes(frames)
    out.mkdir(parents=True, exist_ok=True)
    chord = ambient(len(passes["input"]) / FPS)
    for name, coding in (("input", Coding(crf=14, sound=chord)), ("background", Coding(crf=16))):
        path = out / f"{name}.mp4"
        write_video(path, passes[name], coding=coding)
        quality = psnr(decode(path, layout="rgb24"), passes[name])
        say(f"{path.name}: {len(passes[name])} frames, {path.stat().st_size} bytes, {quality:.1f} dB of the render")
    for label, mask in split_masks(passes["masks"]).items():
        path = out / f"mask_{label}.mp4"
        crf = write_mask(path, mask)
        say(f"{path.name}: {len(mask)} frames, {path.stat().st_size} bytes, crf {crf}, exact at threshold 128")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Pack the rendered frames into the shipped clip.")
    parser.add_argument("--frames", type=Path, required=True, help="folder that render.py wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder of the clip, e.g. samples/still_life")
    given = parser.parse_args(arguments)
    pack(given.frames, given.out)


if __name__ == "__main__":
    main()
