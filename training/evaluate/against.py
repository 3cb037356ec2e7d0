"""Another method's results, read from a folder, and the reading of frames in general.

    DIR/<scene>/background.mp4        or a folder background/ of images: the video without any object
    DIR/<scene>/solo_<i>.mp4          or solo_<i>/: the video with object i (from 0, in the scene's order) alone
    DIR/<scene>/layer_<i>/            RGBA images, straight: object i with its effects
    DIR/<scene>/mask_<i>.mp4          or mask_<i>/: object i's mask, if the method tracks
    DIR/<scene>/seconds.txt           what it took, if known

Only what is there is scored; a scene without a folder is an error, because a mean over other scenes misleads. Images
are taken in the order of their names; any size, brought to the scene's. Movies may be .mp4, .mkv, .mov or .webm.
Must not know: what is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from services import frames as sizes
from services.video import source
from training.data.scenes import Scene
from training.evaluate.methods import Answer, Decomposition, Keep, Video, to_float

Bytes = NDArray[np.uint8]

MOVIES = (".mp4", ".mkv", ".mov", ".webm")
IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


@dataclass(frozen=True)
class Against:
    """The results below `folder`."""

    folder: Path

    def __call__(self, scene: Scene, keeps: Sequence[Keep]) -> Answer:
        """Raises FileNotFoundError for a scene without results, ValueError for results that do not fit."""
        here = self.folder / scene.name
        if not here.is_dir():
            raise FileNotFoundError(f"{self.folder} has no results for scene {scene.name}; put them into {here}")
        videos = {}
        for keep in keeps:
            found = read(here, f"solo_{keep[0]}" if keep else "background")
            if found is not None:
                videos[keep] = to_float(_fitted(found[..., :3], scene, here))
        told = here / "seconds.txt"
        seconds = float(told.read_text()) if told.exists() else None
        return Answer(videos, _layers(here, scene, videos.get(())), seconds)


def _layers(here: Path, scene: Scene, background: Video | None) -> Decomposition | None:
    layers = [read(here, f"layer_{n}") for n in range(scene.objects)]
    found = [layer for layer in layers if layer is not None]
    if len(found) < scene.objects:
        return None
    for layer in found:
        if layer.shape[-1] != 4:
            raise ValueError(f"the layers in {here} have no alpha; write them as RGBA images")
    masks = [read(here, f"mask_{n}") for n in range(scene.objects)]
    known = [_fitted(mask[..., :3], scene, here).max(axis=-1) for mask in masks if mask is not None]
    own = np.where(np.stack(known, axis=-1) > 127, 255, 0).astype(np.uint8) if len(known) == scene.objects else None
    fitted = np.stack([to_float(_fitted(layer, scene, here)) for layer in found])
    return Decomposition(fitted, background, None, own)


def _fitted(video: Bytes, scene: Scene, here: Path) -> Bytes:
    if len(video) != len(scene.video):
        raise ValueError(f"{here} has {len(video)} frames, the scene {len(scene.video)}; give one for every frame")
    return np.asarray(sizes.resized(video, *scene.video.shape[1:3]), np.uint8)


def read(here: Path, name: str) -> Bytes | None:
    """Frames [T, h, w, 3 or 4] uint8 of the folder or movie `name` in `here`; None if there is neither."""
    if (here / name).is_dir():
        return images(here / name)
    for suffix in MOVIES:
        if (here / f"{name}{suffix}").is_file():
            return movie(here / f"{name}{suffix}")
    return None


def images(folder: Path) -> Bytes:
    """A folder of images of one size, by name. Raises ValueError if there is none, or one that cannot be read."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGES)
    if not paths:
        raise ValueError(f"{folder} holds no images")
    return np.stack([image(path) for path in paths])


def image(path: Path) -> Bytes:
    """[h, w, 3] RGB, or [h, w, 4] if the file has an alpha channel, uint8."""
    raw = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if raw is None:
        raise ValueError(f"{path} is not an image that can be read")
    pixels = sizes.to_bytes(raw)
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=-1)
    order = [2, 1, 0, *range(3, pixels.shape[-1])]
    return np.ascontiguousarray(pixels[..., order])


def movie(path: Path) -> Bytes:
    """Every frame of a video file, [T, h, w, 3] uint8. Raises BadVideo."""
    with path.open("rb") as file, source.open_container(file, path.name) as container:
        return np.stack([sizes.to_bytes(picture.pixels) for picture in source.Source(container, path.name).pictures()])
