"""The header of a safetensors file: names, shapes and places of its tensors, without reading any of them.

Layout of such a file: 8 bytes, the length of the header (little endian); the header, JSON; the tensors' bytes.
Must not know: torch, what the tensors are for.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.errors import BadInput

_PREFIX = 8
# The format's own bound: a header of garbage must not fill the memory.
_LONGEST = 100_000_000
_BYTES = {
    "F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2,
    "I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1,
}  # fmt: skip


@dataclass(frozen=True)
class Listed:
    """What the header says of a tensor."""

    shape: tuple[int, ...]
    end: int
    """Where it ends in the file, in bytes from the file's start."""


def is_safetensors(path: Path) -> bool:
    """Whether the file at `path` starts like a safetensors file."""
    with path.open("rb") as file:
        start = file.read(_PREFIX + 1)
    return (
        len(start) == _PREFIX + 1 and 2 <= int.from_bytes(start[:_PREFIX], "little") <= _LONGEST and start[-1:] == b"{"
    )


def read_header(path: Path) -> dict[str, Listed]:
    """The tensors of the file at `path`.

    Raises BadInput for a header that is broken or cut off, and names the first tensor that the file does not hold
    whole, or that takes another place than its shape needs.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_PREFIX), "little")
        if not 2 <= length <= _LONGEST or size < _PREFIX + length:
            raise BadInput(
                f"{path} is truncated within its header, or no safetensors file (it has {size:,} bytes); "
                "copy or download it again."
            )
        raw = file.read(length)
    try:
        header = json.loads(raw)
        header.pop("__metadata__", None)
        tensors = {name: _tensor(value, start=_PREFIX + length) for name, value in header.items()}
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise BadInput(f"the header of {path} is broken ({error}); copy or download it again.") from error
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1].end):
        if tensor.end > size:
            raise BadInput(
                f"{path} is truncated: tensor {name!r} ends at byte {tensor.end:,}, the file at {size:,}; "
                "copy or download it again."
            )
    return tensors


def _tensor(value: dict[str, Any], *, start: int) -> Listed:
    shape = tuple(int(side) for side in value["shape"])
    first, last = (int(offset) for offset in value["data_offsets"])
    width = _BYTES.get(str(value["dtype"]))
    if min(shape, default=0) < 0 or not 0 <= first <= last:
        raise ValueError("a tensor has a negative size")
    if width is not None and last - first != width * math.prod(shape):
        raise ValueError(f"a tensor of {list(shape)} {value['dtype']} takes {last - first} bytes")
    return Listed(shape, start + last)
