"""How a store is kept in order: the settings, and how an operator writes them.

    OMNIMATTE_STORE_LIMIT           500GB        bytes of the store; none: no limit
    OMNIMATTE_COLLECT_EVERY         1h           between collections; never
    OMNIMATTE_COLLECT_GRACE         1d           what is younger stays in any case
    OMNIMATTE_KEEP_INTERMEDIATES    7d           of jobs that have ended; forever
    OMNIMATTE_KEEP_RESULTS          forever      deliverables, from the job's end

Must not know: stores and databases.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from services.errors import BadOption

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
_BYTES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


@dataclass(frozen=True)
class Hygiene:
    """What stays in the store, and for how long."""

    limit_bytes: int = 0
    """The store's quota: beyond it no file is taken and no job is made, while jobs that exist go on. 0: none."""

    collect_seconds: float = 3600.0
    """Seconds between two collections, of all replicas together; infinity: never."""

    grace_seconds: float = 86400.0
    """What no job needs stays that many seconds after its last use: uploads that wait for their job, what an attempt
    left behind."""

    keep_intermediates_seconds: float = 7 * 86400.0
    """How long the uploads and intermediate results of a job that has ended are kept: as long, a similar job is cheap.
    Infinity: until it is deleted."""

    keep_results_seconds: float = math.inf
    """How long the deliverables of a job that has ended are kept. Infinity: until it is deleted."""

    def __post_init__(self) -> None:
        for name in ("collect_seconds", "grace_seconds", "keep_intermediates_seconds", "keep_results_seconds"):
            if not getattr(self, name) >= 0:
                raise BadOption(f"{name} is {getattr(self, name)}; give seconds from 0 on.")
        if self.limit_bytes < 0:
            raise BadOption(f"limit_bytes is {self.limit_bytes}; give bytes, or 0 for no limit.")
        if self.collect_seconds == 0:
            raise BadOption("collect_seconds is 0: nothing else would be done; give some seconds.")

    @classmethod
    def configured(cls, environment: Mapping[str, str] | None = None) -> Hygiene:
        """As the environment's variables say. Raises BadOption."""
        known = os.environ if environment is None else environment
        read = _Reader(known)
        return cls(
            limit_bytes=read.size("OMNIMATTE_STORE_LIMIT"),
            collect_seconds=read.duration("OMNIMATTE_COLLECT_EVERY", cls.collect_seconds, never="never"),
            grace_seconds=read.duration("OMNIMATTE_COLLECT_GRACE", cls.grace_seconds),
            keep_intermediates_seconds=read.duration(
                "OMNIMATTE_KEEP_INTERMEDIATES", cls.keep_intermediates_seconds, never="forever"
            ),
            keep_results_seconds=read.duration("OMNIMATTE_KEEP_RESULTS", cls.keep_results_seconds, never="forever"),
        )


class _Reader:
    def __init__(self, known: Mapping[str, str]) -> None:
        self._known = known

    def size(self, name: str) -> int:
        text = self._known.get(name, "").strip()
        if text in ("", "none"):
            return 0
        match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,3})?) ?([KMGT]?B?)", text, re.IGNORECASE)
        unit = "" if match is None else match[2].upper()
        if match is None or unit not in _BYTES:
            raise BadOption(f"{name} is {text!r}; write a size such as 500GB or 2TB, or none.")
        size = int(float(match[1]) * _BYTES[unit])
        if size == 0:
            raise BadOption(f"{name} is {text!r}: nothing would fit; write a size such as 500GB, or none.")
        return size

    def duration(self, name: str, default: float, *, never: str = "") -> float:
        text = self._known.get(name, "").strip()
        if not text:
            return default
        if never and text == never:
            return math.inf
        match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?) ?([smhdw])", text)
        if match is None:
            other = f", or {never}" if never else ""
            raise BadOption(f"{name} is {text!r}; write a time such as 90s, 12h or 7d{other}.")
        return float(match[1]) * _SECONDS[match[2]]
