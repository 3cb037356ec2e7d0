"""Finished pictures put aside on this machine, without loss, until the movies are made of them one after another.

An open coder holds several frames of its own: with all movies open at once, memory would grow with the number of layers
and formats.
Must not know: what movies show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.artifacts import Draft
from services.finish.movies import Cut
from services.finish.shot import Shot
from services.finish.sources import Integers
from services.stills import png, read_png
from services.video.encode import Movie


@dataclass
class Reel:
    """The backgrounds and layers of every frame.

    Attributes:
        folder: a temporary folder of their own.
        labels: of the layers to keep.
    """

    folder: Path
    labels: Sequence[str]
    frames: int = 0

    def write(self, shot: Shot) -> None:
        for number, label in enumerate(("", *self.labels)):
            picture = shot.layers[label] if label else shot.background
            self._place(number, shot.index).write_bytes(png(picture))
        self.frames = shot.index + 1

    def make(self, cut: Cut, draft: Draft, *, tick: Callable[[], None]) -> None:
        """Make the movie `cut` and hand it to `draft`. tick: called after every frame."""
        # It grows here, since coders go back in their files.
        target = self.folder / "movie"
        movie = Movie(target, cut.form, family=cut.family, alpha=cut.alpha, sound=cut.sound)
        for index in range(self.frames):
            movie.write(cut.picture(self._picture(cut.label, index)))
            tick()
        movie.close()
        draft.put(cut.path, target)
        target.unlink()

    def _picture(self, label: str, index: int) -> Integers:
        place = self._place(["", *self.labels].index(label), index)
        return read_png(place.read_bytes(), place.name)

    def _place(self, number: int, index: int) -> Path:
        return self.folder / f"{number}-{index:05d}.png"
