"""How long a stage run is in the store, and for how many bytes: what of its time is no computing.

Must not know: what is read and written.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Meter:
    """Sums over all threads of a run. Seconds; bytes as they are in memory."""

    read_seconds: float = 0.0
    write_seconds: float = 0.0
    read_bytes: int = 0
    written_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def read(self, seconds: float, size: int) -> None:
        """So much was read in so many seconds."""
        with self._lock:
            self.read_seconds += seconds
            self.read_bytes += size

    def wrote(self, seconds: float, size: int) -> None:
        """So much was written in so many seconds."""
        with self._lock:
            self.write_seconds += seconds
            self.written_bytes += size

    @contextlib.contextmanager
    def writing(self, size: int) -> Iterator[None]:
        """For the length of the block, `size` bytes are written."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.wrote(time.perf_counter() - began, size)

    def attributes(self) -> dict[str, float]:
        """For a span."""
        return {
            "omnimatte.store.read_seconds": round(self.read_seconds, 6),
            "omnimatte.store.write_seconds": round(self.write_seconds, 6),
            "omnimatte.store.read_bytes": self.read_bytes,
            "omnimatte.store.written_bytes": self.written_bytes,
        }


class MeteredArray:
    """A Zarr array, and whoever uses it is timed. Everything but `array[...]` and its assignment is the array's own."""

    def __init__(self, array: Any, meter: Meter) -> None:
        self._array, self._meter = array, meter

    def __getitem__(self, key: Any) -> Any:
        began = time.perf_counter()
        found = self._array[key]
        self._meter.read(time.perf_counter() - began, int(found.nbytes))
        return found

    def __setitem__(self, key: Any, value: Any) -> None:
        with self._meter.writing(int(getattr(value, "nbytes", 0))):
            self._array[key] = value

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        found = self[...]
        return found if dtype is None else found.astype(dtype)

    def __len__(self) -> int:
        return len(self._array)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._array, name)
