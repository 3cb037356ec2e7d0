"""Which weights are on this machine, told from sizes and records alone, so that asking costs little.

Must not know: how they got here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from services.catalogue.entries import find
from services.catalogue.entry import Entry, WeightFile
from services.catalogue.home import Seen, WeightsHome
from services.errors import NotFound
from services.weights import file_digest


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

    Whether the files are what they should be, whoever loads them sees: a published size does not bind people who bring
    weights of their own training.

    Args:
        name: as `omnimatte weights list` shows it.
        home: the folder of all weights; default: see `WeightsHome.default`.
    Raises:
        BadOption: there is no such entry.
        NotFound: files are missing, or known to be wrong; says which, and the command that gets them.
    """
    entry = find(name)
    home = home or WeightsHome.default()
    seen, folder = home.seen(entry), home.folder(entry)
    for file in entry.files:
        if not home.place(entry, file).is_file():
            raise NotFound(f"the weights {name!r} are not all in {folder} ({file.path} is missing); {entry.remedy}.")
        if file.path in seen and seen[file.path].wrong:
            raise NotFound(f"the weights {name!r} in {folder} are damaged ({file.path}); {entry.remedy}.")
    return folder


def digest_of(name: str, home: WeightsHome | None = None) -> str:
    """SHA-256 over the paths and contents of the entry's files, 64 hex digits. Raises as `locate` does.

    What was recorded when a file was checked counts as long as its size is the same: nobody wants to hash 10 GB again
    in every process.
    """
    home = home or WeightsHome.default()
    folder = locate(name, home)
    entry = find(name)
    seen = home.seen(entry)
    total = hashlib.sha256(name.encode())
    for file in entry.files:
        place, known = folder / file.path, seen.get(file.path)
        recorded = known is not None and known.size == place.stat().st_size
        total.update(f" {file.path} {known.sha256 if known and recorded else file_digest(place)}".encode())
    return total.hexdigest()


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
