"""What can be delivered, and how: names and limits that a job's options, the stage `finish` and its readers share.

Plain data; checks that need no pixel. Must not know: how anything is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from services.errors import BadOption

MOVIES = ("prores", "webm", "hevc")
"""Formats that are one file per layer; the others are one file per frame."""
PICTURES = ("png", "exr", *MOVIES)
"""What the background and every layer can be delivered as."""
SIDES = ("preview", "masks", "mattes", "depth")
"""What can lie beside them."""
PROJECTS = ("otio", "fcpxml", "nuke", "aftereffects")
"""Files by which an editing program puts the layers together again."""
READS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "otio": ("png", "exr", "prores", "webm", "hevc"),
        "fcpxml": ("prores", "hevc", "webm"),
        "nuke": ("exr", "png", "prores"),
        "aftereffects": ("png", "prores", "hevc"),
    }
)
"""What each project can name, the best first. FCPXML has no image sequences, After Effects no layers of an EXR."""
FORMATS = (*PICTURES, *SIDES, *PROJECTS)

COMPRESSIONS = ("zip", "piz", "dwaa")
DISPLAY_SPACES = ("srgb", "rec709")
SCENE_SPACES = ("linear", "acescg")
PNG_BITS = (8, 16)
MAX_START_FRAME = 900_000
MAX_NAME = 120

_TOKENS = ("clip", "layer", "frame")
_TEMPLATE = re.compile(r"(?:[A-Za-z0-9._/-]|\{[a-z]*\})+")
_COLOR = re.compile(r"#[0-9a-f]{6}")


@dataclass(frozen=True)
class Delivery:
    """How files are written; every field has a default.

    Attributes:
        start_frame: number of the first frame in file names, timecodes and projects.
        name: template of file names with the tokens {clip}, {layer} and {frame}; "" for folders per layer.
        png_bits: 8 or 16; 0: as many as the clip needs.
        exr_compression: one of COMPRESSIONS.
        color: colour space of PNGs and movies, one of DISPLAY_SPACES; "": the clip's own codes, untouched.
        exr_color: scene-linear space of EXRs, one of SCENE_SPACES.
        preview_color: what previews show layers over, beside a checkerboard: "#rrggbb".
    """

    start_frame: int = 0
    name: str = ""
    png_bits: int = 0
    exr_compression: str = COMPRESSIONS[0]
    color: str = ""
    exr_color: str = SCENE_SPACES[0]
    preview_color: str = "#00b140"

    def __post_init__(self) -> None:
        """Raises BadOption, with `field` naming the attribute."""
        _within("start_frame", self.start_frame, range(MAX_START_FRAME + 1))
        _among("png_bits", self.png_bits, (0, *PNG_BITS))
        _among("exr_compression", self.exr_compression, COMPRESSIONS)
        _among("color", self.color, ("", *DISPLAY_SPACES), what="colour space")
        _among("exr_color", self.exr_color, SCENE_SPACES, what="scene-linear colour space")
        if not isinstance(self.preview_color, str) or not _COLOR.fullmatch(self.preview_color):
            raise BadOption(
                f"the colour {self.preview_color!r} cannot be used; write #rrggbb, like #00b140.", field="preview_color"
            )
        if self.name:
            _check_template(self.name)

    def chosen(self) -> dict[str, Any]:
        """What differs from the defaults, as JSON."""
        defaults = asdict(Delivery())
        return {name: value for name, value in asdict(self).items() if value != defaults[name]}


def delivery_of(data: Mapping[str, Any]) -> Delivery:
    """The delivery that `chosen` described, or that a user wrote. Raises BadOption."""
    known = Delivery.__dataclass_fields__
    for name in data:
        if name not in known:
            raise BadOption(f"delivery has no option {name!r}; the options are {', '.join(known)}.", field=name)
    return Delivery(**data)


def check_formats(formats: Sequence[str]) -> tuple[str, ...]:
    """`formats` without repetitions, in the order of FORMATS.

    Raises BadOption for one that does not exist, or that needs another which is not there.
    """
    for name in formats:
        if name not in FORMATS:
            raise BadOption(f"there is no format {name!r}; choose from {', '.join(FORMATS)}.", field="formats")
    chosen = tuple(name for name in FORMATS if name in formats)
    if not any(name in PICTURES for name in chosen):
        raise BadOption(
            f"{', '.join(chosen) or 'nothing'} alone delivers no layer; add one of {', '.join(PICTURES)}.",
            field="formats",
        )
    for project in PROJECTS:
        if project in chosen and not any(name in chosen for name in READS[project]):
            raise BadOption(
                f"{project} cannot be made of {', '.join(name for name in chosen if name in PICTURES)}; add "
                f"{' or '.join(READS[project])}.",
                field="formats",
            )
    return chosen


def _check_template(text: str) -> None:
    def refuse(what: str) -> BadOption:
        return BadOption(
            f"the name {text!r} {what}; write something like {{clip}}/{{layer}}/{{clip}}_{{layer}}.{{frame}}.",
            field="name",
        )

    if not isinstance(text, str) or len(text) > MAX_NAME or not _TEMPLATE.fullmatch(text):
        raise refuse(f"has other than letters, digits, . _ - / and tokens in braces, or over {MAX_NAME} of them")
    tokens = re.findall(r"\{([a-z]*)\}", text)
    unknown = [token for token in tokens if token not in _TOKENS]
    if unknown:
        raise refuse(f"has the unknown token {{{unknown[0]}}}")
    for needed in ("layer", "frame"):
        if tokens.count(needed) < 1:
            raise refuse(f"lacks {{{needed}}}, so that files would overwrite each other")
    if tokens.count("frame") > 1 or "{frame}" not in text.rpartition("/")[2]:
        raise refuse("must have {frame} once, in the file's own name")
    if text.startswith("/") or any(part in ("", ".", "..") for part in text.split("/")):
        raise refuse("must stay inside the folder of the results")


def _within(name: str, value: object, allowed: range) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value not in allowed:
        raise BadOption(f"{name} is {value!r}; give a whole number from {allowed[0]} to {allowed[-1]}.", field=name)


def _among(name: str, value: object, allowed: Sequence[object], *, what: str = "") -> None:
    if value not in allowed or isinstance(value, bool):
        named = ", ".join(str(item) for item in allowed if item)
        if what:
            raise BadOption(f"there is no {what} {value!r}; choose from {named}.", field=name)
        raise BadOption(f"{name} is {value!r}; choose from {named}.", field=name)
