"""Answers on a socket: a small JSON header, and at most one array behind it.

Nothing is unpickled and every length is checked before memory is taken, so that a process that has been taken over can
send nonsense but do nothing.
Must not know: what the answers mean.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from socket import socket
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

HEADER_BYTES = 1 << 20
_LENGTH = struct.Struct("<I")
_TYPES = ("uint8", "uint16")

Kind = Literal["piece", "end", "refused", "failed"]
Read = Callable[[memoryview], None]
"""Fills all of the given memory, or raises."""


class Nonsense(ValueError):
    """What arrived is no piece."""


@dataclass(frozen=True)
class Piece:
    """One answer.

    Attributes:
        facts: JSON values.
        array: up to four dimensions of uint8 or uint16, or nothing.
        kind: "piece" from a job; the others end it: "end", "refused" (an error for the user), "failed" (an exception).
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    array: NDArray[Any] | None = None
    kind: Kind = "piece"


def send(sock: socket, piece: Piece) -> None:
    """Blocks until the other side has taken it: that is what keeps a decoder from running ahead."""
    array = None if piece.array is None else np.ascontiguousarray(piece.array)
    form = None if array is None else {"shape": array.shape, "dtype": array.dtype.name}
    header = json.dumps({"kind": piece.kind, "facts": dict(piece.facts), "array": form}).encode()
    if len(header) > HEADER_BYTES:
        raise Nonsense(f"a header of {len(header)} bytes")
    sock.sendall(_LENGTH.pack(len(header)) + header)
    if array is not None:
        sock.sendall(array.data.cast("B"))


def receive(read: Read, *, array_bytes: int) -> Piece:
    """The next piece, its array no larger than `array_bytes`. Raises Nonsense, and what `read` raises."""
    (length,) = _LENGTH.unpack(_read(read, _LENGTH.size))
    if length > HEADER_BYTES:
        raise Nonsense(f"a header of {length} bytes")
    raw = _read(read, length)
    try:
        header = json.loads(raw)
        kind, facts, form = header["kind"], dict(header["facts"]), header["array"]
        shape, dtype = (tuple(form["shape"]), str(form["dtype"])) if form is not None else ((), "")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Nonsense(f"a header that is none ({error})") from error
    if kind not in get_args(Kind):
        raise Nonsense("a piece of no kind")
    if form is None:
        return Piece(facts, kind=kind)
    if dtype not in _TYPES or not 1 <= len(shape) <= 4 or not all(type(n) is int and n > 0 for n in shape):
        raise Nonsense(f"an array of {dtype[:20]} with {len(shape)} dimensions")
    if math.prod(shape) * np.dtype(dtype).itemsize > array_bytes:
        raise Nonsense("an array that is too large")
    array = np.empty(shape, dtype)
    read(array.data.cast("B"))
    return Piece(facts, array, kind)


def _read(read: Read, size: int) -> bytes:
    buffer = bytearray(size)
    read(memoryview(buffer))
    return bytes(buffer)
