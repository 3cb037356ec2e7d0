"""Where synthesis takes its cut-outs and photographs from.

Both come from Debian packages that anyone can install; none of it is shipped with this project:

    apt-get install tuxpaint-stamps-default gnome-backgrounds plasma-workspace-wallpapers \\
                    mate-backgrounds lomiri-wallpapers

`SOURCES` says what each holds and under which licence.

Files are split into "train" and "held-out" by a digest of their names, so that no picture is ever in both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Split = Literal["train", "held-out"]
Image = NDArray[np.float32]


@dataclass(frozen=True)
class Source:
    """A Debian package of pictures: its name, the licences in its copyright file, and what it is used for."""

    package: str
    licences: tuple[str, ...]
    what: str


SOURCES = (
    Source("tuxpaint-stamps-default", ("GPL-2",), "cut-outs"),
    Source("gnome-backgrounds", ("GPL-2+", "CC-BY-SA-3.0", "CC-BY-SA-2.0", "CC-BY-2.0"), "photographs"),
    Source("plasma-workspace-wallpapers", ("GPL-2+",), "photographs"),
    Source("mate-backgrounds", ("GPL-2+", "CC-BY-SA-4.0"), "photographs"),
    Source("lomiri-wallpapers", ("CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC0-1.0"), "photographs"),
)
"""As in /usr/share/doc/<package>/copyright. The change log of the stamps names other licences (GFDL, CC-BY, CC-BY-SA,
public domain) for single pictures."""

_CUTOUTS = ("/usr/share/tuxpaint/stamps",)
_PHOTOS = ("/usr/share/backgrounds", "/usr/share/wallpapers")
_CUTOUT_HEIGHT = 144
_PHOTO_HEIGHT = 360


@dataclass(frozen=True)
class Assets:
    """Usable files of one split."""

    cutouts: tuple[Path, ...]
    photos: tuple[Path, ...]


def find(split: Split, *, cutouts: Sequence[str] = _CUTOUTS, photos: Sequence[str] = _PHOTOS) -> Assets:
    """The files of `split`. Raises FileNotFoundError naming the packages to install if there are none."""
    pngs = _files(cutouts, (".png",), split)
    pictures = _files(photos, (".jpg", ".jpeg", ".png", ".webp"), split)
    found = Assets(
        cutouts=tuple(p for p in pngs if _is_photographic(p)),
        photos=tuple(p for p in pictures if load_photo(p) is not None),
    )
    if not found.cutouts or not found.photos:
        raise FileNotFoundError(
            "no pictures to train on: apt-get install tuxpaint-stamps-default gnome-backgrounds "
            "plasma-workspace-wallpapers mate-backgrounds lomiri-wallpapers"
        )
    return found


def _files(roots: Sequence[str], suffixes: tuple[str, ...], split: Split) -> list[Path]:
    """One file per picture: the same wallpaper comes in many sizes and in several folders."""
    by_picture: dict[str, Path] = {}
    for path in sorted(p for root in roots for p in Path(root).rglob("*") if p.suffix.lower() in suffixes):
        if path.stem != "screenshot":
            by_picture[_picture(path)] = path
    return [path for picture, path in sorted(by_picture.items()) if _split_of(picture) == split]


def _picture(path: Path) -> str:
    return path.parents[2].name if path.stem.replace("x", "").isdigit() else path.stem


def _split_of(picture: str) -> Split:
    return "held-out" if hashlib.sha256(picture.encode()).digest()[0] % 5 == 0 else "train"


@lru_cache(maxsize=1024)
def load_cutout(path: Path) -> Image | None:
    """RGBA [h, w, 4] float32 0..1, trimmed to its alpha, at most 144 px high and wide; None if unreadable."""
    raw = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if raw is None or raw.ndim != 3 or raw.shape[2] != 4 or raw.dtype != np.uint8:
        return None
    rgba = cv2.cvtColor(raw, cv2.COLOR_BGRA2RGBA).astype(np.float32) / 255
    ys, xs = np.nonzero(rgba[..., 3] > 0.5)
    if len(ys) < 1000:
        return None
    rgba = rgba[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    scale = _CUTOUT_HEIGHT / max(rgba.shape[:2])
    premultiplied = rgba.copy()
    premultiplied[..., :3] *= rgba[..., 3:]
    small = cv2.resize(premultiplied, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    straight = small[..., :3] / np.maximum(small[..., 3:], 1e-3)
    return np.clip(np.concatenate([straight, small[..., 3:]], axis=-1), 0, 1).astype(np.float32)


@lru_cache(maxsize=512)
def load_photo(path: Path) -> Image | None:
    """RGB [360, w, 3] float32 0..1; None if unreadable or without texture (a plain gradient teaches nothing)."""
    raw = cv2.imread(str(path), cv2.IMREAD_REDUCED_COLOR_2)
    if raw is None or min(raw.shape[:2]) < 200:
        return None
    scale = _PHOTO_HEIGHT / raw.shape[0]
    small = cv2.resize(raw, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    detail = cv2.Laplacian(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), cv2.CV_32F).std()
    if detail < 5 or small.shape[1] < _PHOTO_HEIGHT:
        return None
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB) / np.float32(255), np.float32)


def _is_photographic(path: Path) -> bool:
    rgba = load_cutout(path)
    if rgba is None or min(rgba.shape[:2]) < 40:
        return False
    inside = rgba[rgba[..., 3] > 0.9][:, :3]
    # Drawings have few distinct colours and flat areas.
    levels = len(np.unique((inside * 31).astype(np.int32) @ np.array([1, 32, 1024])))
    return levels > 150 and rgba[..., 3].mean() > 0.15
