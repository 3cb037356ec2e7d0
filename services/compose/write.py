"""Where rendered frames go: one movie, or a picture per frame.

Must not know: how frames are made.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from services.colorspace import Conversion
from services.compose.delivery import Delivery, sound_of
from services.compose.edit import Edit
from services.compose.pictures import Integers, numbered
from services.stills import ExrHeader, exr, half, png
from services.video.encode import Family, Form, Movie, bleed, require
from services.video.timing import Timeline, timecode

SUFFIX = {"mp4": "mp4", "webm": "webm", "prores": "mov", "hevc": "mov", "png": "png", "exr": "exr"}


class Sink(Protocol):
    """Takes frames in order, [H, W, 3] or [H, W, 4] straight codes."""

    def write(self, index: int, picture: Integers) -> None: ...


def form_of(edit: Edit, delivery: Delivery) -> Form:
    """What the result's movie has in common with the clip. Raises BadOption for what its codec cannot hold."""
    width, height = edit.size or (delivery.width, delivery.height)
    first, last = edit.frames or (0, delivery.frames - 1)
    timeline = delivery.timeline
    if timeline.variable:
        start = timeline.pts[first]
        timeline = Timeline(timeline.fps, timeline.time_base, tuple(t - start for t in timeline.pts[first : last + 1]))
    color = delivery.color
    form = Form(
        width=width,
        height=height,
        timeline=timeline,
        sample_aspect_ratio=delivery.sample_aspect_ratio,
        matrix=str(color["matrix"]),
        primaries=str(color["primaries"]),
        transfer=str(color["transfer"]),
        timecode=timecode(delivery.start_frame + first, timeline.fps),
    )
    if edit.output.format not in ("png", "exr"):
        require(form, cast(Family, edit.output.format), alpha=edit.output.alpha)
    return form


@contextmanager
def sink(target: Path, edit: Edit, delivery: Delivery) -> Iterator[Sink]:
    """A sink that has written everything to `target`, a file or a folder, when the block ends."""
    form = form_of(edit, delivery)
    if edit.output.format in ("png", "exr"):
        target.mkdir()
        first = (edit.frames or (0, 0))[0]
        yield _Sequence(target, delivery, edit.output.format, start=delivery.start_frame + first)
        return
    # Sound of a part of the clip would have to be cut, and coded anew.
    whole = edit.frames is None or edit.frames == (0, delivery.frames - 1)
    sound = sound_of(delivery, delivery.folder / "sound") if whole else None
    family = cast(Family, edit.output.format)
    movie = Movie(target, form, family=family, alpha=edit.output.alpha, sound=sound)
    yield _Movie(movie)
    movie.close()


class _Movie:
    def __init__(self, movie: Movie) -> None:
        self._movie = movie

    def write(self, index: int, picture: Integers) -> None:
        self._movie.write(bleed(picture) if picture.shape[2] == 4 else picture)


class _Sequence:
    def __init__(self, folder: Path, delivery: Delivery, form: str, *, start: int) -> None:
        self._folder = folder
        self._start = start
        self._peak = np.float32(delivery.peak)
        self._header = ExrHeader(pixel_aspect=float(Fraction(delivery.sample_aspect_ratio)))
        self._convert = Conversion(delivery.color, "linear") if form == "exr" else None

    def write(self, index: int, picture: Integers) -> None:
        suffix = "png" if self._convert is None else "exr"
        data = png(picture) if self._convert is None else exr({"RGBA": self._linear(picture)}, self._header)
        (self._folder / numbered(f"%05d.{suffix}", self._start + index)).write_bytes(data)

    def _linear(self, picture: Integers) -> Any:
        assert self._convert is not None
        alpha = np.ones((*picture.shape[:2], 1), np.float32)
        if picture.shape[2] == 4:
            alpha = picture[..., 3:].astype(np.float32) / self._peak
        color = self._convert.values(picture, peak=int(self._peak)) * alpha
        return half(np.concatenate([color, alpha], axis=-1))
