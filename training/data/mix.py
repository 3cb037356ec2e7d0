"""How the four categories of data are mixed, and how windows are cut from scenes that lie in files.

Must not know: how scenes are made, or which network trains on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.plate import plate as plates
from training.data import augment, scenes
from training.data.scenes import Category

Rng = np.random.Generator
SYNTHETIC: frozenset[Category] = frozenset({"object-paste", "kubric"})


@dataclass(frozen=True)
class Mix:
    """Share of samples of each category; the shares of categories that are not there go to the others in proportion."""

    object_paste: float
    kubric: float
    tripod: float
    omnimatte: float

    def shares(self, present: set[Category]) -> dict[Category, float]:
        """Shares of the `present` categories, summing to 1. Raises ValueError if all of them are 0 or negative."""
        all_shares: dict[Category, float] = {
            "object-paste": self.object_paste,
            "kubric": self.kubric,
            "tripod": self.tripod,
            "omnimatte": self.omnimatte,
        }
        found = {name: share for name, share in all_shares.items() if name in present and share > 0}
        if not found:
            raise ValueError(f"the mix has no share for any of {', '.join(sorted(present)) or 'no categories'}")
        total = sum(found.values())
        return {name: share / total for name, share in found.items()}


PAPER = Mix(object_paste=0.02, kubric=0.48, tripod=0.25, omnimatte=0.25)
"""Paper App. B: half real, 48 % Kubric, 2 % Object-Paste. For large models, which can already paint."""

COMPACT = Mix(object_paste=0.65, kubric=0.25, tripod=0.05, omnimatte=0.05)
"""For a small model without any prior: our Object-Paste carries effects, and is the only category without end."""


@dataclass(frozen=True)
class Window:
    """Some frames of a scene file with what Casper is told about them.

    video, plate: [T, h, w, 3] uint8. masks: [T, h, w, N] uint8. seen: [T, h, w] float32. part: ground truth.
    """

    video: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    plate: NDArray[np.uint8]
    seen: NDArray[np.float32]
    part: scenes.Scene

    @property
    def synthetic(self) -> bool:
        return self.part.category in SYNTHETIC

    def choose_keep(self, rng: Rng) -> tuple[int, ...]:
        """Mask channels to keep, among those choices whose truth is known. Mostly something has to go."""
        count, chance = self.part.objects, rng.random()
        one = int(rng.integers(max(count, 1)))
        if chance < 0.05 or self.part.background is None:
            return tuple(range(count))
        if chance < 0.45 and count > 1 and self.part.solos is not None:
            return (one,)
        return ()

    def target(self, keep: tuple[int, ...]) -> NDArray[np.float32]:
        """Ground truth when the objects `keep` stay: [T, h, w, 3], 0..1."""
        return self.part.truth(keep).astype(np.float32) / np.float32(255)

    def caption(self, keep: tuple[int, ...]) -> str:
        """One sentence about the background: what the kept objects are, a file does not say."""
        return self.part.caption


class FileScene:
    """A scene held in memory, whose plates are made once per frame, when first wanted."""

    def __init__(self, path: Path) -> None:
        scene = scenes.load(path)
        # Layers and depth are most of a scene's size, and Casper does not train on them.
        self.scene = replace(scene, layers=None, depth=None, order=None)
        self._objects = scene.masks.max(axis=-1) if scene.objects else np.zeros(scene.video.shape[:3], np.uint8)
        self._path: plates.Affine | None = None
        self._plates: dict[int, plates.Plate] = {}

    def window(self, rng: Rng, *, frames: int) -> Window:
        """`frames` consecutive frames; a shorter scene is played back and forth (paper App. B)."""
        total = len(self.scene.video)
        start = int(rng.integers(max(1, total - frames + 1)))
        chosen = augment.reflect(total, frames, start=start)
        made = [self._plate(int(t)) for t in chosen]
        scene = self.scene
        part = replace(
            scene,
            video=scene.video[chosen],
            masks=scene.masks[chosen],
            background=None if scene.background is None else scene.background[chosen],
            solos=None if scene.solos is None else scene.solos[:, chosen],
        )
        return Window(
            video=part.video,
            masks=augment.rough_masks(part.masks, rng),
            plate=np.stack([p.rgb for p in made]),
            seen=np.stack([p.seen for p in made]),
            part=part,
        )

    def _plate(self, t: int) -> plates.Plate:
        if t not in self._plates:
            video = self.scene.video
            if self._path is None:
                self._path = plates.camera_path(video, self._objects)
            references = plates.choose_references(t, len(video))
            self._plates[t] = plates.plate(t, video, self._objects, self._path, references=references)
        return self._plates[t]


class FilePool:
    """Scenes of one folder, at most `size` of them in memory; `turn` exchanges one for the next of the folder."""

    def __init__(self, paths: list[Path], rng: Rng, *, size: int) -> None:
        self._paths = [paths[i] for i in rng.permutation(len(paths))]
        self._size = min(size, len(paths))
        self._next = 0
        self._scenes: list[FileScene] = []

    def turn(self) -> None:
        """Load one more scene, or exchange the oldest; nothing once all of the folder is in memory."""
        if len(self._scenes) == len(self._paths):
            return
        if len(self._scenes) == self._size:
            self._scenes.pop(0)
        self._scenes.append(FileScene(self._paths[self._next % len(self._paths)]))
        self._next += 1

    def draw(self, rng: Rng, *, frames: int) -> Window:
        """A window of a random scene that is in memory."""
        if not self._scenes:
            self.turn()
        return self._scenes[int(rng.integers(len(self._scenes)))].window(rng, frames=frames)


def folders(scenes: Path | None) -> dict[Category, Path]:
    """Where the categories lie within one folder of scenes; none without a folder."""
    names: tuple[Category, ...] = ("object-paste", "kubric", "tripod", "omnimatte")
    return {} if scenes is None else {name: scenes / name for name in names}


def present(folders: Mapping[Category, Path] | None) -> dict[Category, list[Path]]:
    """Scene files by category. A folder that is missing or empty leaves its category out."""
    found = {name: sorted(folder.glob("*.npz")) for name, folder in (folders or {}).items() if folder.is_dir()}
    return {name: paths for name, paths in found.items() if paths}
