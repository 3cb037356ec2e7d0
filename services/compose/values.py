"""The values in an edit: numbers within bounds, points, colours, and curves of them.

Must not know: what they are for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from services.compose.keyframes import EASES, Curve, Key, constant
from services.errors import BadInput, BadOption
from services.fields import Fields

MAX_KEYS = 5000
FAR = 1e5
"""Most pixels, or frames, that anything is moved by."""
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


class EditFields(Fields):
    """Fields of an edit."""

    what = "the edit"


def curve(
    known: Fields, name: str, size: int, *, default: Sequence[float], low: float, high: float, spread: bool = False
) -> Curve:
    """A constant, or keys [{frame, value, ease}, ...]; `spread`: one number stands for all `size`."""
    data, where = known.get(name), known.path(name)
    if data is None:
        return constant(*default)
    if not isinstance(data, list) or not any(isinstance(item, Mapping) for item in data):
        return constant(*_value(data, where, size, low=low, high=high, spread=spread))
    if len(data) > MAX_KEYS:
        raise BadInput(f"{where} has {len(data)} keys, more than {MAX_KEYS}.", field=where)
    keys: list[Key] = []
    for i, item in enumerate(data):
        key = EditFields(item, f"{where}[{i}]", "frame", "value", "ease")
        frame = key.integer("frame", 0, 0, 10**6)
        if keys and frame <= keys[-1].frame:
            raise BadInput(
                f"{where}[{i}] is at frame {frame}, not after the key before, at {keys[-1].frame}; put keys in order.",
                field=f"{where}[{i}].frame",
            )
        value = _value(key.get("value"), f"{where}[{i}].value", size, low=low, high=high, spread=spread)
        keys.append(Key(frame, value, key.choice("ease", "linear", EASES)))
    return Curve(tuple(keys))


def _value(data: object, where: str, size: int, *, low: float, high: float, spread: bool) -> tuple[float, ...]:
    given = list(data) if isinstance(data, list | tuple) else [data]
    if spread and len(given) == 1:
        given *= size
    if len(given) != size:
        raise BadInput(f"{where} must be {size} number{'s' if size > 1 else ''}, or keyframes.", field=where)
    return tuple(number(value, where, low, high) for value in given)


def number(value: object, where: str, low: float, high: float) -> float:
    """A number from `low` to `high`. Raises BadOption that names `where`."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise BadOption(f"{where} is {value!r}; give a number from {low:g} to {high:g}.", field=where)
    return float(value)


def point(known: Fields, name: str) -> tuple[float, float] | None:
    """The field `name` as [x, y]; None where it is absent."""
    if known.get(name) is None:
        return None
    x, y = _value(known.get(name), known.path(name), 2, low=-FAR, high=FAR, spread=False)
    return x, y


def rgb_of(text: str, where: str) -> tuple[float, float, float]:
    """A colour "#rrggbb" as 0..1. Raises BadOption that names `where`."""
    if not _COLOR.fullmatch(text):
        raise BadOption(f"{where} is {text!r}; write a colour as #rrggbb.", field=where)
    value = int(text[1:], 16)
    return (value >> 16) / 255, (value >> 8 & 255) / 255, (value & 255) / 255
