"""What every project is made from: which delivered files it uses, and which of them lies above which, when. Pure.

Must not know: any program's format.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from typing import Any

from services.deliverables import MOVIES, READS


@dataclass(frozen=True)
class Media:
    """The files of one element.

    Attributes:
        label: "" for the background.
        path: relative to the project; with %05d where it is a sequence.
        format: of services.deliverables.PICTURES.
        channels: its layer in an EXR; "" for the unnamed one.
    """

    label: str
    path: str
    format: str
    channels: str = ""

    @property
    def sequence(self) -> bool:
        return self.format not in MOVIES

    @property
    def premultiplied(self) -> bool:
        return self.format == "exr"

    @property
    def name(self) -> str:
        return self.label or "background"


@dataclass(frozen=True)
class Segment:
    """An element at one depth, from frame `first` to `last`, both counted from 0 and included."""

    label: str
    first: int
    last: int

    @property
    def frames(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True)
class Project:
    """A composite to rebuild.

    Attributes:
        name: of the clip.
        width, height, frames: of the clip. fps: frames a second, the mean of a varying rate.
        pixel_aspect: width over height of a pixel.
        start: number of the first frame.
        space: colour space of the pictures' codes, or of the EXR.
        background, layers: their files; the layers in job order.
        levels: from back to front, what lies at that depth when.
        sound: the file with the clip's sound; "" for none. varying: whether the clip's rate varies.
        color: the source's coding, as layers.json has it.
    """

    name: str
    width: int
    height: int
    frames: int
    fps: Fraction
    pixel_aspect: Fraction
    start: int
    space: str
    background: Media
    layers: tuple[Media, ...]
    levels: tuple[tuple[Segment, ...], ...]
    sound: str
    varying: bool
    color: Mapping[str, Any]

    @property
    def media(self) -> dict[str, Media]:
        """Label -> files; "" is the background."""
        return {one.label: one for one in (self.background, *self.layers)}

    @property
    def last(self) -> int:
        """Number of the last frame."""
        return self.start + self.frames - 1

    @property
    def orders(self) -> list[tuple[int, tuple[str, ...]]]:
        """(first frame, labels back to front), once for every change."""
        rows = zip(*(expanded(level) for level in self.levels), strict=True) if self.levels else ()
        found: list[tuple[int, tuple[str, ...]]] = []
        for frame, row in enumerate(rows):
            if not found or found[-1][1] != row:
                found.append((frame, row))
        return found or [(0, ())]


def project_of(kind: str, content: Mapping[str, Any], *, name: str) -> Project:
    """The composite that `content`, that of layers.json, describes, made of the files that `kind` reads best."""
    chosen = next(one for one in READS[kind] if one in content["background"]["files"])
    layers = tuple(
        Media(entry["label"], entry["files"][chosen], chosen, entry.get("channels", "") if chosen == "exr" else "")
        for entry in content["layers"]
    )
    audio = content["audio"]
    movie = next((content["background"]["files"][one] for one in MOVIES if one in content["background"]["files"]), "")
    return Project(
        name=name,
        width=int(content["width"]),
        height=int(content["height"]),
        frames=int(content["frames"]),
        fps=Fraction(content["fps"]),
        pixel_aspect=Fraction(content["sample_aspect_ratio"]),
        start=int(content.get("start_frame", 0)),
        space=str(content["formats"][chosen].get("space", "")),
        background=Media("", content["background"]["files"][chosen], chosen),
        layers=layers,
        levels=levels(content["order"], [media.label for media in layers]),
        sound=str((audio["file"] or movie) if audio else ""),
        varying=bool(content["timestamps"]),
        color=content["color"],
    )


def levels(order: Sequence[Sequence[str]], labels: Sequence[str]) -> tuple[tuple[Segment, ...], ...]:
    """From back to front, the segments at each depth. order: per frame, front to back; only `labels` count."""
    rows = [[label for label in reversed(row) if label in labels] for row in order]
    depth = len(rows[0]) if rows else 0
    return tuple(_segments([row[level] for row in rows]) for level in range(depth))


def expanded(level: Sequence[Segment]) -> list[str]:
    """The label at every frame of a level."""
    return [segment.label for segment in level for _ in range(segment.frames)]


def _segments(labels: Sequence[str]) -> tuple[Segment, ...]:
    found: list[Segment] = []
    frame = 0
    for label, run in groupby(labels):
        count = sum(1 for _ in run)
        found.append(Segment(label, frame, frame + count - 1))
        frame += count
    return tuple(found)
