"""Seeded damage to requests: wrong values where the description of the message says what is right.

Must not know: servers.
"""

from __future__ import annotations

import math
import random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

_TEXTS = (
    *("", " ", "jobs/", "uploads/", "jobs/../../etc/passwd", "../" * 40, "/etc/passwd", "file:///etc/passwd"),
    *("s3://bucket/key", "jobs/" + "x" * 5000, "\0", "a\0b", "\u202e\u0000\ufffd", "ñ" * 300, "' OR 1=1 --", "{}"),
    *("%s%n", "\r\nHTTP/1.1 200 OK", "0" * 64, "f" * 64, "g" * 64, "-1", "NaN", "compact", "production"),
    *("../compact", "x" * 100_000),
)
_INTEGERS = (0, 1, -1, 2, 7, 99, 255, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, -(2**63))
_FLOATS = (0.0, -0.0, 1.0, -1.0, 1e300, -1e300, 1e-300, math.inf, -math.inf, math.nan, 0.5)


def damage(message: Message, rng: random.Random, *, names: tuple[str, ...]) -> Message:
    """The message, changed in one to five places. `names`: resource names that mean something to somebody."""
    for _ in range(rng.choice((1, 1, 2, 3, 5))):
        _change(message, rng, names, depth=0)
    return message


def _change(message: Message, rng: random.Random, names: tuple[str, ...], *, depth: int) -> None:
    fields = list(message.DESCRIPTOR.fields)
    if not fields:
        return
    field = rng.choice(fields)
    if rng.random() < 0.1:
        message.ClearField(field.name)
        return
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        entries = getattr(message, field.name)
        for _ in range(rng.choice((1, 3, 200))):
            entries[rng.choice(_TEXTS)[:200]] = rng.choice(_TEXTS)[:200]
        return
    if field.is_repeated:
        _change_repeated(message, field, rng, names, depth=depth)
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        inner = getattr(message, field.name)
        inner.SetInParent()
        if depth < 8:
            _change(inner, rng, names, depth=depth + 1)
    else:
        setattr(message, field.name, _value(field, rng, names))


def _change_repeated(
    message: Message, field: FieldDescriptor, rng: random.Random, names: tuple[str, ...], *, depth: int
) -> None:
    values: Any = getattr(message, field.name)
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        if values and rng.random() < 0.6 and depth < 8:
            _change(rng.choice(list(values)), rng, names, depth=depth + 1)
            return
        for _ in range(rng.choice((1, 2, 9, 300))):
            values.add()
        return
    for _ in range(rng.choice((1, 3, 500))):
        values.append(_value(field, rng, names))


def _value(field: FieldDescriptor, rng: random.Random, names: tuple[str, ...]) -> Any:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        if field.type == FieldDescriptor.TYPE_BYTES:
            return rng.choice((b"", b"\0", b"x" * 70_000, rng.randbytes(50)))
        text = rng.choice((*_TEXTS, *names, *names))
        return text.encode("utf-8", "ignore").decode()
    if kind in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return rng.choice(_FLOATS)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return rng.random() < 0.5
    bits = 32 if kind in _NARROW else 64
    unsigned = kind in (FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64)
    low, high = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return min(high, max(low, rng.choice(_INTEGERS)))


_NARROW = (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_ENUM)
