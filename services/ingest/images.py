"""Still images from untrusted bytes, alone or in a tar: only known formats, sizes checked before decoding, nothing
unpacked.

Must not know: what the images mean.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.video.limits import LIMITS, Limits

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\x00", b"MM\x00*")


class BadImage(ValueError):
    """An image cannot be read; the message says which and why, and needs a subject in front of it."""


@dataclass(frozen=True)
class Still:
    """One image: its name and its pixels, [H, W, C] uint8, C = 1, 2, 3 or 4 (the last of 2 and 4 is alpha)."""

    name: str
    pixels: NDArray[np.uint8]


def is_image(head: bytes) -> bool:
    """Whether a file that begins with `head` (16 bytes suffice) is an image of a known format."""
    return head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def is_tar(head: bytes) -> bool:
    """Whether a file that begins with `head` (512 bytes) is an uncompressed tar."""
    return head[257:262] == b"ustar"


def natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts frame 10 after frame 9."""
    parts = re.split(r"(\d+)", name.lower())
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]


def decode(data: bytes, name: str) -> Still:
    """The image in `data`. Raises BadImage."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > LIMITS.max_pixels:
                raise BadImage(f"{name} is {image.width}x{image.height}, more than the limit of 4096x2304 pixels")
            return Still(name, _pixels(image))
    except BadImage:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadImage(f"{name} is damaged or not an image (PNG, JPEG, WebP, BMP, TIFF)") from error


def decode_file(file: BinaryIO, name: str, *, limits: Limits = LIMITS) -> Still:
    """The image that `file` is. Raises BadImage."""
    data = file.read(limits.max_image_bytes + 1)
    if len(data) > limits.max_image_bytes:
        raise BadImage(f"{name} is larger than {limits.max_image_bytes >> 20} MiB")
    return decode(data, name)


def stills_in_tar(file: BinaryIO, *, limits: Limits = LIMITS) -> Iterator[Still]:
    """The images of an uncompressed tar in natural order of their names. Raises BadImage.

    Members are read, never unpacked: links and devices are refused, hidden files and folders are passed over.
    """
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            for member in sorted(_members(archive, limits), key=lambda member: natural(member.name)):
                stream = archive.extractfile(member)
                assert stream is not None  # A regular file always has one.
                yield decode(stream.read(), member.name)
    except (tarfile.TarError, EOFError) as error:
        raise BadImage("the folder of images arrived truncated or damaged") from error


def _members(archive: tarfile.TarFile, limits: Limits) -> list[tarfile.TarInfo]:
    """The entries that should be images, all within the limits; none of their bytes is read yet."""
    found: list[tarfile.TarInfo] = []
    total = 0
    for count, member in enumerate(archive, start=1):
        if count > limits.max_members:
            raise BadImage(f"it holds more than {limits.max_members} entries, which is the limit")
        if len(member.name) > limits.max_name:
            raise BadImage(f"a name in it is longer than {limits.max_name} characters")
        if _hidden(member.name) or member.isdir():
            continue
        if not member.isreg():
            raise BadImage(f"{member.name!r} in it is a link or a device; only image files are read")
        if member.issparse():
            raise BadImage(f"{member.name!r} in it is a sparse file; make the tar without them")
        if not 0 <= member.size <= limits.max_image_bytes:
            raise BadImage(f"{member.name!r} in it is larger than {limits.max_image_bytes >> 20} MiB")
        total += member.size
        if total > limits.max_tar_bytes:
            raise BadImage(f"its files are larger than {limits.max_tar_bytes >> 30} GiB together")
        found.append(member)
        if len(found) > limits.max_frames:
            raise BadImage(f"it holds more than {limits.max_frames} files, which is the limit")
    return found


def _hidden(name: str) -> bool:
    base = name.rstrip("/").rsplit("/", 1)[-1]
    return base.startswith(".") or base in ("Thumbs.db", "desktop.ini")


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I") or image.mode == "F":  # 16 bit grey (32 bit holds 16 bit values in PNG)
        deep: NDArray[Any] = np.asarray(image, dtype=np.float64)
        return np.rint(np.clip(deep / 257.0, 0, 255)).astype(np.uint8)[..., None]
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    elif image.mode not in ("L", "LA", "RGB", "RGBA"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    pixels: NDArray[np.uint8] = np.asarray(image, dtype=np.uint8)
    return pixels if pixels.ndim == 3 else pixels[..., None]
