"""The paper's Table 1 (section 4, Table 2 in the supplement): OmnimatteRF's ten synthetic scenes.

The folder as OmnimatteRF publishes it, one folder for each scene, directly or one level down by category:

    FOLDER/[<category>/]<scene>/rgb_1x/             the input, images (also: rgb, input, or a movie of that name)
    FOLDER/[<category>/]<scene>/masks/mask/<layer>/ one folder of mask images for each object (also: mask/<layer>,
                                                    masks/<layer>, or the images at once where there is one object;
                                                    a layer called "combined" is left out)
    FOLDER/[<category>/]<scene>/rgb_bg/             ground truth, images or a movie (also: bg, bg_1x, background, gt,
                                                    gt_bg, rgb_1x_bg)

The names of input and masks are documented by that project; the name of the ground truth is not, hence the list.
Protocol: the whole frame of every frame of a clip is scored at the clip's own size, PSNR of a scene from the mean
squared error over all its pixels, LPIPS as a mean over frames, then the mean over scenes. The paper does not say more;
scores of 60 dB cannot occur there, so that the cap of metrics.py changes nothing.
Must not know: methods.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services import frames as sizes
from training.data.scenes import Scene
from training.evaluate import against

Bytes = NDArray[np.uint8]

_INPUT = ("rgb_1x", "rgb", "input")
_TRUTH = ("rgb_bg", "bg", "bg_1x", "background", "gt", "gt_bg", "rgb_1x_bg")
_MASKS = ("masks/mask", "mask", "masks")


def load(folder: Path) -> list[Scene]:
    """Every scene below `folder`, by name.

    Raises FileNotFoundError if there is none, or if a scene lacks masks or truth; ValueError for parts that do not
    belong together.
    """
    places = sorted(p for p in [*folder.glob("*"), *folder.glob("*/*")] if p.is_dir() and _first(p, _INPUT))
    if not places:
        raise FileNotFoundError(f"{folder} holds no scene: no folder in it has an {', '.join(_INPUT)}")
    return [_scene(place, name="-".join(place.relative_to(folder).parts)) for place in places]


def _first(place: Path, names: tuple[str, ...]) -> str | None:
    for name in names:
        if (place / name).is_dir() or any((place / f"{name}{suffix}").is_file() for suffix in against.MOVIES):
            return name
    return None


def _scene(place: Path, *, name: str) -> Scene:
    video, truth = _read(place, _INPUT), _read(place, _TRUTH)
    masks = _masks(place, *video.shape[1:3])
    for what, array in (("ground truth", truth), ("masks", masks)):
        if len(array) != len(video):
            raise ValueError(f"scene {name} has {len(video)} frames of input and {len(array)} of {what}")
    if truth.shape != video.shape:
        raise ValueError(f"scene {name}: input and ground truth differ in size; the protocol scores at native size")
    return Scene(name=name, category="benchmark", video=video, masks=masks, background=truth)


def _read(place: Path, names: tuple[str, ...]) -> Bytes:
    name = _first(place, names)
    found = against.read(place, name) if name else None
    if found is None:
        raise FileNotFoundError(f"{place} has none of {', '.join(names)}")
    return np.ascontiguousarray(found[..., :3])


def _masks(place: Path, height: int, width: int) -> Bytes:
    """[T, h, w, N] uint8 0 or 255, one channel for each layer."""
    for name in _MASKS:
        if not (place / name).is_dir():
            continue
        layers = sorted(p for p in (place / name).iterdir() if p.is_dir() and p.name != "combined")
        found = [against.images(layer) for layer in layers or [place / name]]
        channels = [sizes.resized(layer[..., :3], height, width).max(axis=-1) for layer in found]
        return np.where(np.stack(channels, axis=-1) > 127, 255, 0).astype(np.uint8)
    raise FileNotFoundError(f"{place} has no masks: none of {', '.join(_MASKS)}")
