"""How an artifact's arrays lie in a store: in chunks along time, coded by what they hold. Plain data.

The codec is in an array's own metadata, so whatever an earlier version wrote is still read.
Must not know: artifacts, Zarr's code, and what a stage does.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from math import ceil, prod
from typing import Any

# A zarr.Array. Its own annotations say that an index gives "an array or a scalar or bytes", which helps nobody.
ZarrArray = Any

_CHUNK_BYTES = 16 << 20
"""A chunk costs a file and some thread switches: for 4 MiB they take longer than copying it."""
_MAX_CHUNK_FRAMES = 32
"""Stages work chunk by chunk: this bounds the frames that one holds of a small clip, and how late it is cancelled."""


class Content(Enum):
    """What an array holds, as far as it matters to how it is coded."""

    PIXELS = "pixels"
    """Colours, depth: nearly incompressible. LZ4 takes several times as long as writing them as they are, and saves a
    fifth."""

    COVERAGE = "coverage"
    """Masks and alphas: long runs of one value. LZ4 takes less time than writing what it saves."""


CODECS: Mapping[Content, dict[str, Any] | None] = {
    Content.PIXELS: None,
    Content.COVERAGE: {"name": "blosc", "configuration": {"cname": "lz4", "clevel": 5, "shuffle": "noshuffle"}},
}
"""The codec of each content in the words of Zarr's metadata; None: the array's bytes as they are."""


def chunk_frames(shape: tuple[int, ...], *, itemsize: int) -> int:
    """How many frames of an array [T, ...] with values of `itemsize` bytes go into one chunk, at least 1."""
    most = max(1, min(_MAX_CHUNK_FRAMES, _CHUNK_BYTES // max(1, itemsize * prod(shape[1:]))))
    # Equal chunks: Zarr writes the last one at full length, whatever is in it.
    return max(1, ceil(shape[0] / ceil(max(1, shape[0]) / most)))
