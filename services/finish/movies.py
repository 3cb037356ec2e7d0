"""Deliverables as movies: every layer with its alpha, and previews that show it to people.

Movies grow in a folder of this machine, since coders go back in their files, and are handed over when they are whole.
Must not know: how frames are finished.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from services.artifacts import Draft
from services.colorspace import Conversion
from services.compositing import checkerboard
from services.finish.names import Kind, Names
from services.finish.shot import Shot
from services.finish.sources import Integers
from services.stills import with_bits
from services.video.encode import Family, Form, Movie, bleed

SUFFIX = {"webm": "webm", "prores": "mov", "hevc": "hevc.mov"}
PREVIEW_SIDE = 1280
"""Most pixels along a preview's longer side."""


@dataclass
class MovieWriter:
    """The background and every layer as one movie each.

    Attributes:
        folder: where they grow.
        form: what all of them have in common.
        convert: to another colour space; None: the clip's own codes.
        sound: the clip's sound, which goes into the background's movie.
    """

    draft: Draft
    names: Names
    labels: list[str]
    family: Family
    form: Form
    folder: Path
    peak: int
    convert: Conversion | None = None
    sound: Path | None = None
    _open: dict[str, Movie] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Opens the files. Raises BadOption for a size or an alpha that the codec cannot hold."""
        self._background = self._add(Kind.BACKGROUND, "", alpha=False)
        self._layers = {label: self._add(Kind.LAYER, label, alpha=True) for label in self.labels}

    def write(self, shot: Shot) -> None:
        self._background.write(self._converted(shot.background))
        for label, movie in self._layers.items():
            movie.write(bleed(self._converted(shot.layers[label])))

    def close(self) -> None:
        hand_over(self._open, self.draft, self.folder)

    def _converted(self, image: Integers) -> Integers:
        return image if self.convert is None else self.convert.codes(image, peak=self.peak)

    def _add(self, kind: Kind, label: str, *, alpha: bool) -> Movie:
        path = self.names.movie(kind, label, suffix=SUFFIX[self.family])
        sound = None if alpha else self.sound
        self._open[path] = Movie(grown(self.folder, path), self.form, family=self.family, alpha=alpha, sound=sound)
        return self._open[path]


@dataclass
class PreviewWriter:
    """H.264 of each layer over a checkerboard and over a plain colour, and of the background, for any player.

    At most PREVIEW_SIDE pixels long, and of even size (4:2:0): an odd last row or column is left out.
    """

    draft: Draft
    names: Names
    labels: list[str]
    form: Form
    folder: Path
    color: str
    sound: Path | None = None
    _open: dict[str, Movie] = field(default_factory=dict)

    def __post_init__(self) -> None:
        scale = min(1.0, PREVIEW_SIDE / max(self.form.width, self.form.height))
        width = max(2, round(self.form.width * scale)) // 2 * 2
        height = max(2, round(self.form.height * scale)) // 2 * 2
        self._small = replace(self.form, width=width, height=height)
        self._boards = {
            Kind.CHECKER: np.rint(checkerboard(height, width) * 255).astype(np.uint8),
            Kind.COLOR: np.full((height, width, 3), _rgb(self.color), np.uint8),
        }
        self._background = self._add(Kind.PREVIEW, sound=self.sound)
        self._movies = {(label, kind): self._add(kind, label) for label in self.labels for kind in self._boards}

    def write(self, shot: Shot) -> None:
        self._background.write(self._shrunk(shot.background))
        for label in self.labels:
            layer = self._shrunk(shot.layers[label])
            for kind, board in self._boards.items():
                self._movies[label, kind].write(_over(layer, board))

    def close(self) -> None:
        hand_over(self._open, self.draft, self.folder)

    def _shrunk(self, image: Integers) -> NDArray[np.uint8]:
        image = with_bits(image, 8)
        width, height = self._small.width, self._small.height
        if max(self.form.width, self.form.height) <= PREVIEW_SIDE:
            return np.ascontiguousarray(image[:height, :width])
        return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))

    def _add(self, kind: Kind, label: str = "", *, sound: Path | None = None) -> Movie:
        path = self.names.movie(kind, label, suffix="mp4")
        self._open[path] = Movie(grown(self.folder, path), self._small, family="mp4", alpha=False, sound=sound)
        return self._open[path]


def grown(folder: Path, path: str) -> Path:
    """Where the movie that will be `path` grows."""
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def hand_over(movies: dict[str, Movie], draft: Draft, folder: Path) -> None:
    """Finish the movies, one after the other, and move them to the draft."""
    for path, movie in movies.items():
        movie.close()
        draft.put(path, folder / path)
        (folder / path).unlink()


def _over(layer: NDArray[np.uint8], board: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`layer` [H, W, 4] straight over the opaque `board` [H, W, 3]."""
    picture = board.copy()
    x, y, width, height = cv2.boundingRect((layer[..., 3] > 0).astype(np.uint8))
    seen = layer[y : y + height, x : x + width].astype(np.float32)
    if seen.size:
        under = picture[y : y + height, x : x + width].astype(np.float32)
        mixed = under + seen[..., 3:] * np.float32(1 / 255) * (seen[..., :3] - under)
        picture[y : y + height, x : x + width] = np.rint(mixed).astype(np.uint8)
    return picture


def _rgb(color: str) -> tuple[int, int, int]:
    value = int(color[1:], 16)
    return value >> 16, value >> 8 & 255, value & 255
