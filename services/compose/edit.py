"""What an edit is: a frozen description that `parse.py` makes of a user's YAML, and nothing else.

Numbers are pixels of the clip, degrees clockwise, frames counted from 0. Must not know: files or pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from services.compose.keyframes import Curve, constant
from services.compose.retime import Retime

FORMATS = ("mp4", "webm", "prores", "hevc", "png", "exr")
WITH_ALPHA = ("webm", "prores", "hevc", "png", "exr")
FILTERS = ("cartoon", "edges", "pixelate", "posterize")
_ZERO, _ONE = constant(0), constant(1)
_STILL, _WHOLE = constant(0, 0), constant(1, 1)


@dataclass(frozen=True)
class Look:
    """Colour of a layer, straight.

    Attributes:
        exposure: stops. contrast, saturation: factors. hue: degrees.
        tint: colour (0..1) that the layer is multiplied by.
        blur: sigma in pixels, of colour and alpha.
    """

    exposure: Curve = _ZERO
    contrast: Curve = _ONE
    saturation: Curve = _ONE
    hue: Curve = _ZERO
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    blur: Curve = _ZERO


@dataclass(frozen=True)
class Diffusion:
    """An image-to-image pipeline of diffusers: its folder or name, prompt, strength 0..1, steps and seed."""

    model: str
    prompt: str
    strength: float = 0.5
    steps: int = 20
    seed: int = 0


@dataclass(frozen=True)
class Style:
    """One of: a built-in filter, a user's command with "{input}" and "{output}", a diffusers pipeline."""

    filter: str = ""
    command: tuple[str, ...] = ()
    diffusion: Diffusion | None = None

    @property
    def runs_code(self) -> bool:
        """Whether it runs something that only the user's own machine may run."""
        return bool(self.command) or self.diffusion is not None


@dataclass(frozen=True)
class Change:
    """What happens to one layer.

    Attributes:
        remove: it is not shown.
        move: to the right and down, in pixels. scale: factors across and down. rotate: degrees clockwise.
        anchor: what stays in place when it is scaled and rotated; None: the middle of what is seen of it.
        opacity: 0..1.
    """

    remove: bool = False
    move: Curve = _STILL
    scale: Curve = _WHOLE
    rotate: Curve = _ZERO
    anchor: tuple[float, float] | None = None
    opacity: Curve = _ONE
    look: Look = field(default_factory=Look)
    retime: Retime = field(default_factory=Retime)
    style: Style | None = None


@dataclass(frozen=True)
class Insert:
    """The layer `layer` of another delivery, `source` (a folder, or a job), called `label` here."""

    source: str
    layer: str
    label: str
    change: Change = field(default_factory=Change)


@dataclass(frozen=True)
class Ground:
    """What is behind everything: `kind` "keep", "color", "checker", "none", "image" or "video"; `value`: its colour or
    file."""

    kind: str = "keep"
    value: str = ""


@dataclass(frozen=True)
class OrderRun:
    """From `frame` on, labels front to back."""

    frame: int
    front_to_back: tuple[str, ...]


@dataclass(frozen=True)
class Output:
    """How the result is written: one of FORMATS; whether with alpha; bits of PNGs as the clip has them."""

    format: str = "mp4"
    alpha: bool = False


@dataclass(frozen=True)
class Edit:
    """A whole edit.

    Attributes:
        source: the delivery that is edited, a folder; "" where the caller says it.
        frames: first and last frame to render; None: all.
        size: width and height of the result; None: the clip's.
        layers: label -> what happens to it; layers that are not named stay as they are.
        inserts: layers of other deliveries.
        order: front to back; () for the clip's own order, with inserts in front.
    """

    source: str = ""
    frames: tuple[int, int] | None = None
    size: tuple[int, int] | None = None
    background: Ground = field(default_factory=Ground)
    layers: dict[str, Change] = field(default_factory=dict)
    inserts: tuple[Insert, ...] = ()
    order: tuple[OrderRun, ...] = ()
    output: Output = field(default_factory=Output)

    @property
    def changes(self) -> dict[str, Change]:
        """Of every layer that the edit names, inserts included."""
        return self.layers | {insert.label: insert.change for insert in self.inserts}
