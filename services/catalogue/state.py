"""Which weights are on this machine, told from sizes and records alone, so that asking costs nothing.

Must not know: how they got here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from services.catalogue.entries import find
from services.catalogue.entry import Entry, WeightFile
from services.catalogue.home import Seen, WeightsHome
from services.errors import NotFound


class State(StrEnum):
    MISSING = "missing"
    """Nothing of it is there."""
    INCOMPLETE = "incomplete"
    """Files are missing, have another size than they should, or were found to be wrong."""
    PRESENT = "present"
    """All files are there, but not all of them were checked by the command that brought them."""
    VERIFIED = "verified"
    """All files are there and have the sizes that they were checked with."""


@dataclass(frozen=True)
class Found:
    """What is on this machine of one entry."""

    entry: Entry
    folder: Path
    state: State
    lacking: tuple[str, ...]
    """Paths of files that are missing or wrong."""

    @property
    def usable(self) -> bool:
        return self.state in (State.PRESENT, State.VERIFIED)


def look(entry: Entry, home: WeightsHome) -> Found:
    """What is there of `entry`; reads no file of weights."""
    seen = home.seen(entry)
    states = {file.path: _state(file, home.place(entry, file), seen.get(file.path)) for file in entry.files}
    lacking = tuple(path for path, state in states.items() if state in (State.MISSING, State.INCOMPLETE))
    if all(state == State.MISSING for state in states.values()):
        state = State.MISSING
    elif lacking:
        state = State.INCOMPLETE
    else:
        verified = all(state == State.VERIFIED for state in states.values())
        state = State.VERIFIED if verified else State.PRESENT
    return Found(entry, home.folder(entry), state, lacking)


def locate(name: str, home: WeightsHome | None = None) -> Path:
    """The folder with all files of the entry `name`; nothing is fetched, nothing is read.

    Args:
        name: as `omnimatte weights list` shows it.
        home: the folder of all weights; default: see `WeightsHome.default`.
    Raises:
        BadOption: there is no such entry.
        NotFound: files are missing or incomplete; says which, and the command that gets them.
    """
    entry = find(name)
    found = look(entry, home or WeightsHome.default())
    if not found.usable:
        what = "are not" if found.state == State.MISSING else f"are incomplete ({found.lacking[0]})"
        raise NotFound(f"the weights {name!r} {what} in {found.folder}; {entry.remedy}.")
    return found.folder


def _state(file: WeightFile, place: Path, seen: Seen | None) -> State:
    try:
        size = place.stat().st_size
    except OSError:
        return State.MISSING
    if not file.least <= size <= file.limit or (seen is not None and seen.wrong):
        return State.INCOMPLETE
    if seen is None or file.sha256 not in (None, seen.sha256):
        return State.PRESENT
    return State.VERIFIED if seen.size == size else State.INCOMPLETE
