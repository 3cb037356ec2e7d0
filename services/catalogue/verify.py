"""Hashing again what lies on the disk. A file that is wrong is left as it is, but `locate` no longer offers it, and
`pull` fetches it anew. Must not know: terminals, networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from services.catalogue.check import Advance, checked, nothing, now
from services.catalogue.entry import Entry, WeightFile
from services.catalogue.home import Seen, WeightsHome
from services.errors import BadInput


@dataclass(frozen=True)
class Verdict:
    """What hashing one file said."""

    file: WeightFile
    said: Literal["right", "first seen", "wrong", "missing"]
    """first seen: no digest is published or recorded; this one is recorded now."""
    detail: str


def verify(entry: Entry, home: WeightsHome, *, advance: Advance = nothing) -> tuple[Verdict, ...]:
    """Hash every file of `entry`, and record the outcome. Raises Conflict, BadOption."""
    with home.locked(entry):
        return tuple(_verdict(entry, file, home, advance=advance) for file in entry.files)


def _verdict(entry: Entry, file: WeightFile, home: WeightsHome, *, advance: Advance) -> Verdict:
    place = home.place(entry, file)
    known = home.seen(entry).get(file.path)
    if not place.is_file():
        return Verdict(file, "missing", f"{place} is not there")
    try:
        seen = checked(place, entry, file, known=known, advance=advance)
    except BadInput as error:
        wanted = file.sha256 or (known.sha256 if known else "")
        home.record(entry, file, Seen(place.stat().st_size, wanted, now(), wrong=True))
        return Verdict(file, "wrong", error.message)
    home.record(entry, file, seen)
    return Verdict(file, "right" if file.sha256 or known else "first seen", seen.sha256)
