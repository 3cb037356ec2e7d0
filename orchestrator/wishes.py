"""What the command line of `omnimatte decompose` says about objects, as plain data.

Must not know: files' contents, servers, or how the wishes are fulfilled.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from services.errors import BadInput, BadOption, BadPrompt

_ASSIGNED = re.compile(r"([a-z0-9][a-z0-9_-]{0,39})=(.+)", re.DOTALL)
_PROMPT = re.compile(r"(?P<label>[^:]*):(?P<numbers>[^@]*)(?:@(?P<frame>\d+))?")


@dataclass(frozen=True)
class ObjectWish:
    """One object: where its masks are, or the prompts for it (as orchestrator/spec.py describes them)."""

    label: str
    mask: Path | None = None
    prompts: tuple[dict[str, Any], ...] = ()
    layer: bool = True


def mask_wish(text: str) -> ObjectWish:
    """`PATH`, labelled after its name, or `LABEL=PATH`."""
    assigned = _ASSIGNED.fullmatch(text)
    if assigned and not Path(text).exists():
        return ObjectWish(label=assigned[1], mask=Path(assigned[2]))
    path = Path(text)
    return ObjectWish(label=label_of(path), mask=path)


def label_of(path: Path) -> str:
    """A label after the file's name: "Left Vase.mp4" is "left-vase". Raises BadInput if nothing usable is left."""
    stem = path.stem if path.suffix and not path.is_dir() else path.name
    label = re.sub(r"[^a-z0-9_-]+", "-", stem.lower()).strip("-_")[:40].rstrip("-_")
    if not label:
        raise BadInput(f"no label can be made of {path.name!r}; give one: --mask LABEL={path}.")
    return label


def box_wish(text: str) -> ObjectWish:
    """`LABEL:x0,y0,x1,y1[@frame]`."""
    label, numbers, frame = _prompt(text, 4, "--box LABEL:x0,y0,x1,y1[@frame]")
    return ObjectWish(label=label, prompts=({"frame": frame, "box": numbers},))


def point_wish(text: str, *, positive: bool = True) -> ObjectWish:
    """`LABEL:x,y[@frame]`."""
    flag = "--point" if positive else "--not-point"
    label, numbers, frame = _prompt(text, 2, f"{flag} LABEL:x,y[@frame]")
    return ObjectWish(label=label, prompts=({"frame": frame, "point": numbers, "positive": positive},))


def _prompt(text: str, count: int, form: str) -> tuple[str, list[float], int]:
    matched = _PROMPT.fullmatch(text)
    try:
        if matched is None:
            raise ValueError
        numbers = [float(number) for number in matched["numbers"].split(",")]
        if len(numbers) != count:
            raise ValueError
    except ValueError:
        raise BadPrompt(f"{text!r} is not understood; write {form}, numbers in pixels.") from None
    return matched["label"], numbers, int(matched["frame"] or 0)


def merged(wishes: Iterable[ObjectWish], *, without_layer: Iterable[str] = ()) -> list[ObjectWish]:
    """The objects in the order in which they were first named, the prompts of one label together.

    Raises:
        BadInput: a label has two masks, or both a mask and prompts; or `without_layer` names no object.
    """
    objects: dict[str, ObjectWish] = {}
    for wish in wishes:
        known = objects.get(wish.label)
        if known is None:
            objects[wish.label] = wish
        elif known.mask is None and wish.mask is None:
            objects[wish.label] = replace(known, prompts=known.prompts + wish.prompts)
        else:
            raise BadInput(
                f"overlapping labels: two objects are called {wish.label!r}; give each a label of its own, as in "
                "--mask LABEL=PATH."
            )
    for label in without_layer:
        if label not in objects:
            raise BadOption(f"--no-layer {label}: no object is called that; the objects are {', '.join(objects)}.")
        objects[label] = replace(objects[label], layer=False)
    return list(objects.values())
