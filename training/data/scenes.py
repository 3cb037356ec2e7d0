"""A clip with its ground truth, whatever made it: what every category of data writes and every table reads.

On disk a scene is one `.npz` file, lossless and loaded without pickle. Must not know how scenes are made or used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Category = Literal["object-paste", "kubric", "tripod", "omnimatte", "benchmark"]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Scene:
    """A clip of T frames with N objects. What is not known is None.

    Attributes:
        name: unique within its set.
        category: what made it.
        video: [T, H, W, 3] uint8.
        masks: [T, H, W, N] uint8 0 or 255, the visible part of every object, without effects.
        background: [T, H, W, 3] uint8, without any object or effect.
        solos: [N, T, H, W, 3] uint8, the background with one object and its effects.
        layers: [N, T, H, W, 4] uint8, straight RGBA of the complete object with its effects.
        depth: [T, H, W] uint8, 0 far .. 255 near.
        order: [T, N] uint8, the objects' indices from back to front in every frame.
        caption: one sentence on the background.
    """

    name: str
    category: Category
    video: Bytes
    masks: Bytes
    background: Bytes | None = None
    solos: Bytes | None = None
    layers: Bytes | None = None
    depth: Bytes | None = None
    order: Bytes | None = None
    caption: str = ""

    @property
    def objects(self) -> int:
        return int(self.masks.shape[-1])

    def truth(self, keep: Sequence[int]) -> Bytes:
        """The video [T, H, W, 3] when only `keep` stays: none, one or all of the objects.

        Raises ValueError where the scene does not know it.
        """
        if len(keep) == self.objects:
            return self.video
        if not keep and self.background is not None:
            return self.background
        if len(keep) == 1 and self.solos is not None:
            return self.solos[keep[0]]
        raise ValueError(f"scene {self.name} has no ground truth for keeping {list(keep)} of {self.objects} objects")


_ARRAYS = ("video", "masks", "background", "solos", "layers", "depth", "order")


def save(scene: Scene, path: Path) -> None:
    """Write `scene` to `path` (.npz), all or nothing."""
    arrays = {name: getattr(scene, name) for name in _ARRAYS if getattr(scene, name) is not None}
    texts = {name: np.array(getattr(scene, name)) for name in ("name", "category", "caption")}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays, **texts)
    partial.replace(path)


def load(path: Path) -> Scene:
    """Read a scene. Raises OSError or ValueError if `path` is not one."""
    with np.load(path, allow_pickle=False) as stored:
        texts = {name: str(stored[name]) for name in ("name", "category", "caption")}
        arrays = {name: stored[name] for name in _ARRAYS if name in stored}
    return Scene(**texts, **arrays)  # type: ignore[arg-type]


def load_all(folder: Path) -> list[Scene]:
    """Every scene of a folder, by file name. Raises FileNotFoundError if there is none."""
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise FileNotFoundError(f"no scenes (*.npz) in {folder}")
    return [load(path) for path in paths]
