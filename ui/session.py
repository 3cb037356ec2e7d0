"""What one browser session remembers between two events. Frozen: an event makes a new one, so that none is lost.

Each class lives in a `gr.State` of its own, written by few events, because events of one session run at the same time.
Must not know: Gradio, or the API.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

FIRST_LABEL = "object-1"


@dataclass(frozen=True)
class Clip:
    """A loaded clip.

    Attributes:
        path: the file, under a name of ours.
        name: what its owner calls it; for messages only.
        folder: where this clip's frames and results are kept until another is loaded.
        height, width: of a frame, in pixels.
        scale: pixels of a shown frame per pixel of the clip.
    """

    path: Path
    name: str
    folder: Path
    height: int
    width: int
    scale: float


@dataclass(frozen=True)
class Point:
    """A click: on the object `label`, or, not `positive`, beside it. x and y are pixels of the clip."""

    label: str
    frame: int
    x: float
    y: float
    positive: bool = True


@dataclass(frozen=True)
class Marks:
    """The objects and their points, in the order in which they were made.

    Attributes:
        labels: all objects, those without points included.
        current: the one that the next point is for.
    """

    labels: tuple[str, ...] = (FIRST_LABEL,)
    current: str = FIRST_LABEL
    points: tuple[Point, ...] = ()

    def of(self, label: str) -> tuple[Point, ...]:
        return tuple(point for point in self.points if point.label == label)

    def on(self, frame: int) -> tuple[Point, ...]:
        return tuple(point for point in self.points if point.frame == frame)


@dataclass(frozen=True)
class LayerEdit:
    """What is done to one layer.

    Attributes:
        opacity: 0 to 1, times its own.
        dx, dy: how far it is moved to the right and down, in pixels of the clip.
        delay: how many frames later it shows what it shows.
    """

    visible: bool = True
    opacity: float = 1.0
    dx: int = 0
    dy: int = 0
    delay: int = 0


@dataclass(frozen=True)
class Edit:
    """A result with what is done to its layers; `layers` by label, absent where nothing is.

    Attributes:
        folder: the files of the result, as they were delivered.
        background: whether the clean background is shown; otherwise a checkerboard.
    """

    folder: Path
    layers: Mapping[str, LayerEdit] = field(default_factory=dict)
    background: bool = True

    def of(self, label: str) -> LayerEdit:
        return self.layers.get(label, LayerEdit())

    def with_layer(self, label: str, layer: LayerEdit) -> Edit:
        return replace(self, layers={**self.layers, label: layer})
