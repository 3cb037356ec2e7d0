"""A folder of mask images as one upload: an uncompressed tar whose bytes depend on the images alone.

The same masks thus have the same digest, whoever packs them and whenever. Frames are in the natural order of their
names (2.png before 10.png). Must not know: what is in the images.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

from services.errors import BadMask

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
_CHUNK = 1 << 20


def images(folder: Path) -> list[Path]:
    """The folder's images in frame order. Raises BadMask if it has none."""
    found = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
    visible = [path for path in found if not path.name.startswith(".")]
    if not visible:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        raise BadMask(f"the mask folder {folder} has no images; put one image per frame into it ({kinds}).")
    return sorted(visible, key=_natural)


def packed(folder: Path) -> Iterator[bytes]:
    """The folder's images as a tar, piece by piece. Raises BadMask if it has none."""
    for path in images(folder):
        entry = tarfile.TarInfo(path.name)
        entry.size = path.stat().st_size
        yield entry.tobuf(tarfile.GNU_FORMAT)
        left = entry.size
        with path.open("rb") as file:
            while left and (piece := file.read(min(_CHUNK, left))):
                left -= len(piece)
                yield piece
        if left:
            raise BadMask(f"the mask image {path} became shorter while it was read; send it when it is complete.")
        yield bytes(-entry.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _natural(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    parts = re.findall(r"\d+|\D+", path.name)
    # The name itself decides between 1.png and 01.png.
    return [(0, int(part), "") if part.isdigit() else (1, 0, part.lower()) for part in parts], path.name
