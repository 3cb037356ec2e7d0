"""Small files of every kind that is accepted, from which the damaged ones are made.

Must not know: the damage.
"""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.services.clips import make_clip, moving_square, png_bytes, tar_bytes

FRAMES, HEIGHT, WIDTH = 5, 48, 64
_CLIPS: dict[str, dict[str, Any]] = {
    "h264.mp4": {"audio": "aac"},
    "start.mp4": {"container_options": {"movflags": "+faststart"}},
    "fragments.mp4": {"container_options": {"movflags": "+frag_keyframe+empty_moov"}, "options": {"g": "2"}},
    "h264.mov": {"rotation": 90, "matrix": 1},
    "mpeg4.mov": {"codec": "mpeg4", "audio": "pcm_s16le"},
    "prores.mov": {"codec": "prores_ks", "pixel_format": "yuv444p10le"},
    "png.mov": {"codec": "png", "pixel_format": "rgba"},
    "vp9.webm": {"codec": "libvpx-vp9", "audio": "libopus"},
    "vp8.webm": {"codec": "libvpx", "pts": (0, 40, 55, 130, 131)},
    "ffv1.mkv": {"codec": "ffv1", "pixel_format": "bgr0", "audio": "aac"},
    "mjpeg.avi": {"codec": "mjpeg", "pixel_format": "yuvj420p", "audio": "adpcm_ms"},
    "h264.ts": {"audio": "mp2"},
    "theora.ogg": {"codec": "libtheora"},
    "h264.flv": {},
    "mpeg2.mxf": {"codec": "mpeg2video", "rate": Fraction(25)},
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "log-level=none"}},
    "av1.mp4": {"codec": "libaom-av1", "options": {"cpu-used": "8"}},
}


@dataclass(frozen=True)
class Seed:
    """A sound file, and what it may be ingested as ("video", "mask")."""

    name: str
    data: bytes
    kinds: tuple[str, ...]


def seeds(folder: Path, samples: Path) -> tuple[Seed, ...]:
    """The same files in every run; `folder` is for making them, `samples` holds the bundled clip."""
    found = [*_clips(folder), *_images(), *_tars()]
    for name in ("mask_orange.mp4", "mask_vase.mp4"):
        found.append(Seed(name, (samples / name).read_bytes(), ("video", "mask")))
    return tuple(found)


def _clips(folder: Path) -> list[Seed]:
    found = []
    for name, form in _CLIPS.items():
        size = (HEIGHT, WIDTH) if "hevc" not in name and "av1" not in name else (64, 64)
        # One thread and no random numbers: the same bytes in every run.
        same = {
            "options": {"threads": "1", **form.get("options", {})},
            "container_options": {"fflags": "+bitexact", **form.get("container_options", {})},
        }
        try:
            path = make_clip(folder / name, moving_square(FRAMES, *size), **form | same)
        except (ValueError, OSError):  # A build without this coder.
            continue
        found.append(Seed(name, path.read_bytes(), ("video", "mask")))
    return found


def _picture(mode: str = "RGB") -> Image.Image:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[10:30, 5:40] = (255, 250, 240)
    return Image.fromarray(pixels).convert(mode)


def _images() -> list[Seed]:
    found = []
    for name, mode in (("png", "RGB"), ("png", "RGBA"), ("png", "P"), ("png", "I;16"), ("png", "1"), ("jpeg", "RGB")):
        found.append(_image(name, mode))
    found += [_image("jpeg", "CMYK"), _image("jpeg", "L", progressive=True), _image("webp", "RGBA")]
    found += [_image("webp", "RGB", lossless=True), _image("bmp", "RGB"), _image("bmp", "P")]
    for compression in ("raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg", "group4"):
        found.append(_image("tiff", "1" if compression == "group4" else "RGB", compression=compression))
    return found


def _image(form: str, mode: str, **options: object) -> Seed:
    buffer = io.BytesIO()
    picture = Image.fromarray(np.asarray(_picture("L"), np.uint16) * 257) if mode == "I;16" else _picture(mode)
    picture.save(buffer, form, **options)
    return Seed(f"{mode}.{form}", buffer.getvalue(), ("mask",))


def _tars() -> list[Seed]:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[10:30, 5:40] = 255
    files = {f"masks/{t}.png": png_bytes(mask) for t in range(FRAMES)}
    pax = io.BytesIO()
    with tarfile.open(fileobj=pax, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo("ä" * 120 + name)
            member.size, member.mtime = len(data), 0
            archive.addfile(member, io.BytesIO(data))
    return [Seed("masks.tar", tar_bytes(files), ("mask",)), Seed("pax.tar", pax.getvalue(), ("mask",))]
