"""Frames through the store against the same bytes copied to a file and back: what its format and its code cost.

Page cache on both sides; nothing is forced to the disk, by neither. What is written is removed before the next
repetition, so that all of them find the same free memory.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtests.data_path.clips import Case
from loadtests.data_path.table import Seconds, markdown
from services.artifacts import Store, digest
from services.frames import chunk_ranges

_PIECE = 4 << 20
"""Bytes per system call of the raw copy; larger ones are no faster."""
WAYS = ("raw write", "raw read", "write", "read", "read two")
"""What is timed; `read` takes one chunk at a time, as stages do, `read two` two at once."""


@dataclass(frozen=True)
class Row:
    """What one case took.

    Attributes:
        name: of the case.
        size: bytes of its frames.
        stored: bytes of them in the store, metadata included.
        chunk: frames in a chunk.
        seconds: of each of `WAYS`.
    """

    name: str
    size: int
    stored: int
    chunk: int
    seconds: Mapping[str, Seconds]

    def speed(self, way: str) -> float:
        """GB/s, at best."""
        return self.size / self.seconds[way].best / 1e9

    def share(self, way: str, *, median: bool = False) -> float:
        """The store's speed as a share of the raw one."""
        raw = self.seconds["raw write" if way == "write" else "raw read"]
        own = self.seconds[way]
        return raw.median / own.median if median else raw.best / own.best


def measured(cases: Sequence[Case], folder: Path, *, repetitions: int) -> list[Row]:
    """All cases in turn, `repetitions` times over, in `folder`; a neighbour's load then falls on all alike."""
    times: dict[str, dict[str, list[float]]] = {case.name: {way: [] for way in WAYS} for case in cases}
    facts: dict[str, tuple[int, int]] = {}
    for _ in range(repetitions):
        for case in cases:
            for way, seconds in _raw(case.frames, folder):
                times[case.name][way].append(seconds)
            took, stored, chunk = _stored(case, folder)
            facts[case.name] = stored, chunk
            for way, seconds in took.items():
                times[case.name][way].append(seconds)
    return [
        Row(
            name=case.name,
            size=case.frames.nbytes,
            stored=facts[case.name][0],
            chunk=facts[case.name][1],
            seconds={way: Seconds(tuple(found)) for way, found in times[case.name].items()},
        )
        for case in cases
    ]


def report(rows: Sequence[Row]) -> str:
    """The rows as a table."""
    head = ["frames", "MB", "ratio", "chunk", *(f"{way}, GB/s" for way in WAYS)]
    head += [f"{way} / raw{kind}" for kind in ("", ", medians") for way in WAYS[2:]]
    lines = [
        [
            row.name,
            f"{row.size / 1e6:.0f}",
            f"{row.size / row.stored:.2f}",
            str(row.chunk),
            *(f"{row.speed(way):.2f}" for way in WAYS),
            *(f"{row.share(way, median=median):.0%}" for median in (False, True) for way in WAYS[2:]),
        ]
        for row in rows
    ]
    return markdown(head, lines)


def _raw(frames: NDArray[Any], folder: Path) -> Iterator[tuple[str, float]]:
    """The bytes of `frames` to one file, and back into memory that is there already."""
    path = folder / "raw"
    source: Any = memoryview(frames.reshape(-1).view(np.uint8).data)
    target = np.ones(frames.nbytes, np.uint8)
    starts = range(0, len(source), _PIECE)
    began = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        for start in starts:
            file.write(source[start : start + _PIECE])
    yield "raw write", time.perf_counter() - began
    began = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        for start in starts:
            file.readinto(target[start : start + _PIECE].data)
    yield "raw read", time.perf_counter() - began
    path.unlink()


def _stored(case: Case, folder: Path) -> tuple[dict[str, float], int, int]:
    """Seconds by way, bytes in the store, and frames in a chunk; the manifest's part is in the seconds."""
    root = folder / "store"
    store = Store(str(root))
    address = digest(case.name)
    began = time.perf_counter()
    draft = store.draft(address, stage="loadtest")
    array = draft.array("a", shape=case.frames.shape, dtype=str(case.frames.dtype), content=case.content)
    for start, stop in chunk_ranges(array):
        array[start:stop] = case.frames[start:stop]
    artifact = draft.commit(request={}, meta={})
    seconds = {"write": time.perf_counter() - began}
    for way, chunks in (("read", 1), ("read two", 2)):
        began = time.perf_counter()
        opened = store.get(address).array("a")
        step = chunks * int(opened.chunks[0])
        for start in range(0, len(case.frames), step):
            last = opened[start : start + step]
        seconds[way] = time.perf_counter() - began
        if not np.array_equal(last, case.frames[start:]):
            raise AssertionError(f"{case.name}: other frames came back")
    shutil.rmtree(root)
    return seconds, artifact.manifest.size or 0, int(array.chunks[0])
