"""Deliverables as movies: every layer with its alpha, and previews that show it to people.

Each movie is a `Cut`: which finished pictures go into it, and what they look like there.
Must not know: how frames are finished, or when movies are made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from services.colorspace import Conversion
from services.compositing import checkerboard
from services.finish.names import Kind, Names
from services.finish.sources import Integers
from services.stills import with_bits
from services.video.encode import Family, Form, bleed

SUFFIX = {"webm": "webm", "prores": "mov", "hevc": "hevc.mov"}
PREVIEW_SIDE = 1280
"""Most pixels along a preview's longer side."""


@dataclass(frozen=True)
class Cut:
    """One movie to make.

    Attributes:
        path: what it is delivered as.
        label: of the layer that it shows; "" for the background.
        picture: a finished picture (background [H, W, 3] or layer [H, W, 4] straight) as this movie shows it.
        form, family, alpha, sound: as services.video.encode.Movie takes them.
    """

    path: str
    label: str
    picture: Callable[[Integers], Integers]
    form: Form
    family: Family
    alpha: bool = False
    sound: Path | None = None


@dataclass(frozen=True)
class Layered:
    """The background and every layer as one movie each, of one family.

    Attributes:
        form: what all of them have in common.
        peak: 255 or 65535, of the finished pictures.
        convert: to another colour space; None: the clip's own codes.
        sound: the clip's sound, which goes into the background's movie.
    """

    names: Names
    labels: list[str]
    family: Family
    form: Form
    peak: int
    convert: Conversion | None = None
    sound: Path | None = None

    def cuts(self) -> list[Cut]:
        background = self.names.movie(Kind.BACKGROUND, suffix=SUFFIX[self.family])
        return [
            Cut(background, "", self._converted, self.form, self.family, sound=self.sound),
            *(self._layer(label) for label in self.labels),
        ]

    def _layer(self, label: str) -> Cut:
        path = self.names.movie(Kind.LAYER, label, suffix=SUFFIX[self.family])
        return Cut(path, label, lambda image: bleed(self._converted(image)), self.form, self.family, alpha=True)

    def _converted(self, image: Integers) -> Integers:
        return image if self.convert is None else self.convert.codes(image, peak=self.peak)


@dataclass(frozen=True)
class Previews:
    """H.264 of each layer over a checkerboard and over a plain colour, and of the background, for any player.

    At most PREVIEW_SIDE pixels long, and of even size (4:2:0): an odd last row or column is left out.
    """

    names: Names
    labels: list[str]
    form: Form
    color: str
    sound: Path | None = None

    def cuts(self) -> list[Cut]:
        form = self._small()
        boards = {
            Kind.CHECKER: np.rint(checkerboard(form.height, form.width) * 255).astype(np.uint8),
            Kind.COLOR: np.full((form.height, form.width, 3), _rgb(self.color), np.uint8),
        }
        background = self.names.movie(Kind.PREVIEW, suffix="mp4")
        found = [Cut(background, "", partial(_shrunk, form=form), form, "mp4", sound=self.sound)]
        for label in self.labels:
            for kind, board in boards.items():
                path = self.names.movie(kind, label, suffix="mp4")
                found.append(Cut(path, label, partial(_shown, form=form, board=board), form, "mp4"))
        return found

    def _small(self) -> Form:
        scale = min(1.0, PREVIEW_SIDE / max(self.form.width, self.form.height))
        width = max(2, round(self.form.width * scale)) // 2 * 2
        height = max(2, round(self.form.height * scale)) // 2 * 2
        return replace(self.form, width=width, height=height)


def _shown(layer: Integers, *, form: Form, board: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return _over(_shrunk(layer, form=form), board)


def _shrunk(image: Integers, *, form: Form) -> NDArray[np.uint8]:
    image = with_bits(image, 8)
    if max(image.shape[:2]) <= PREVIEW_SIDE:
        return np.ascontiguousarray(image[: form.height, : form.width])
    return np.asarray(cv2.resize(image, (form.width, form.height), interpolation=cv2.INTER_AREA))


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
