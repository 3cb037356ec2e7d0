"""Bringing an entry's files to their places: fetched or copied, checked, landed whole, recorded.

A file appears under its name only when it is complete, checked and on the disk. Must not know: terminals, and how the
licence was accepted.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from services.catalogue.check import Advance, checked, nothing
from services.catalogue.entries import ENTRIES
from services.catalogue.entry import Entry, WeightFile
from services.catalogue.home import Seen, WeightsHome
from services.catalogue.sources import Source, copy
from services.errors import BadInput, Conflict, OmnimatteError, OutOfSpace, from_exception

Bar = Callable[[WeightFile], Advance]
"""Opens the progress of one file; its answer is told of the bytes."""

_SPARE = 2**28


@dataclass(frozen=True)
class Outcome:
    """What became of one file."""

    path: str
    was_there: bool
    sha256: str


def no_bar(_: WeightFile) -> Advance:
    return nothing


def pull(
    entry: Entry, home: WeightsHome, source: Source, *, bar: Bar = no_bar, among: Iterable[Entry] = ENTRIES
) -> tuple[Outcome, ...]:
    """All files of `entry`; those that are there and checked are left alone. Ends with the first error.

    among: entries whose files may be linked instead of fetched, where the digest is the same.
    Raises:
        Unavailable, NotFound, BadOption: the source does not give a file.
        BadInput: a file is not the one that the catalogue means; it is not kept.
        OutOfSpace: the disk is too small.
        Conflict: another command changes the same entry, or its licence was not accepted.
    """
    if not home.acceptance(entry):
        raise Conflict(f"the licence of {entry.title} ({entry.licence.name}) was not accepted.")
    with home.locked(entry):
        seen = home.seen(entry)
        missing = [file for file in entry.files if not _is_there(home.place(entry, file), file, seen.get(file.path))]
        require_space(home, entry, sum(_open_bytes(home, entry, file) for file in missing))
        outcomes = []
        for file in entry.files:
            was_there = file not in missing
            if not was_there:
                _pull_file(entry, file, home, source, bar=bar, among=among)
            outcomes.append(Outcome(file.path, was_there, home.seen(entry)[file.path].sha256))
    return tuple(outcomes)


def land(entry: Entry, file: WeightFile, home: WeightsHome, partial: Path, *, known: Seen | None = None) -> Seen:
    """Check `partial`, move it to the place of `file` in one step, record it. A wrong one is deleted: BadInput."""
    place = home.create(entry, file)
    try:
        seen = checked(partial, entry, file, known=known)
    except BadInput:
        partial.unlink(missing_ok=True)
        raise
    # On the disk before it has its name: a name is a promise.
    _flush(partial)
    partial.replace(place)
    _flush(place.parent)
    home.record(entry, file, seen)
    return seen


def require_space(home: WeightsHome, entry: Entry, size: int) -> None:
    """Raises OutOfSpace unless the disk has room for `size` bytes and some more."""
    folder = next(path for path in (home.folder(entry), *home.folder(entry).parents) if path.is_dir())
    free = shutil.disk_usage(folder).free
    if size + _SPARE > free:
        raise OutOfSpace(
            f"{entry.title} needs {size / 1e9:.1f} GB, and {folder} has {free / 1e9:.1f} GB free; free some space, or "
            "set OMNIMATTE_WEIGHTS to a folder on a larger disk."
        )


def _pull_file(
    entry: Entry, file: WeightFile, home: WeightsHome, source: Source, *, bar: Bar, among: Iterable[Entry]
) -> None:
    place = home.create(entry, file)
    partial = place.with_name(f"{place.name}.partial")
    known = home.seen(entry).get(file.path)
    try:
        if place.is_file() and _adopted(entry, file, home, place, known):
            return
        twin = _twin(entry, file, home, among)
        if twin is not None:
            _link(twin, partial)
        else:
            source.fetch(entry, file, partial, advance=bar(file))
        land(entry, file, home, partial, known=known)
    except OmnimatteError:
        raise
    except OSError as error:
        raise from_exception(error, doing=f"writing {place}") from error


def _is_there(place: Path, file: WeightFile, seen: Seen | None) -> bool:
    if seen is None or seen.wrong or file.sha256 not in (None, seen.sha256):
        return False
    return place.is_file() and place.stat().st_size == seen.size


def _adopted(entry: Entry, file: WeightFile, home: WeightsHome, place: Path, known: Seen | None) -> bool:
    """A file that somebody put there is taken if it is the right one; one that nothing can be told of is not."""
    if file.sha256 is None and (known is None or not known.sha256):
        return False
    try:
        home.record(entry, file, checked(place, entry, file, known=known))
    except BadInput:
        return False
    return True


def _twin(entry: Entry, file: WeightFile, home: WeightsHome, among: Iterable[Entry]) -> Path | None:
    """The same file in another entry's folder."""
    if file.sha256 is None:
        return None
    for other in among:
        seen = home.seen(other) if other.name != entry.name else {}
        for candidate in other.files:
            known = seen.get(candidate.path)
            place = home.place(other, candidate)
            if known and known.sha256 == file.sha256 and _is_there(place, candidate, known):
                return place
    return None


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        copy(source, target, advance=nothing)


def _open_bytes(home: WeightsHome, entry: Entry, file: WeightFile) -> int:
    """What of a file is still to be written."""
    place = home.place(entry, file)
    partial = place.with_name(f"{place.name}.partial")
    there = partial.stat().st_size if partial.is_file() else 0
    return max(0, (file.size or file.about or 0) - there)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
