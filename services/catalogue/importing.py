"""Taking over a file that the user has: told by its tensors, its digest or its name, checked, copied to its place.

Must not know: terminals, networks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from services.catalogue.check import Advance, nothing, sha256
from services.catalogue.entries import ENTRIES
from services.catalogue.entry import Entry, WeightFile
from services.catalogue.header import is_safetensors, read_header
from services.catalogue.home import Seen, WeightsHome
from services.catalogue.pull import land, require_space
from services.catalogue.sources import copy
from services.errors import BadInput, Conflict, OmnimatteError, from_exception


@dataclass(frozen=True)
class Recognised:
    """Which file of which entry a file is meant to be."""

    entry: Entry
    file: WeightFile


def recognise(path: Path, *, among: Iterable[Entry] = ENTRIES) -> Recognised:
    """Which file of the catalogue the one at `path` is, or is meant to be; it may still be cut off or wrong.

    Tensors decide first, then size and digest, then the name.
    Raises BadInput if it is none of them, cannot be read, or could be several.
    """
    try:
        if not path.is_file() or path.stat().st_size == 0:
            raise BadInput(f"{path} is no file with anything in it; give the checkpoint that you have got.")
        return _by_tensors(path, among) or _by_digest(path, among) or _by_name(path, among)
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}).") from error


def take_over(path: Path, found: Recognised, home: WeightsHome, *, advance: Advance = nothing) -> Seen:
    """Copy `path` to the place of what it was recognised as; it appears there only when it is whole and checked.

    Raises:
        BadInput: it is cut off or not the right one; names the tensor where the file has any.
        Conflict: another command changes the same entry, or the licence was not accepted.
        OutOfSpace.
    """
    entry, file = found.entry, found.file
    if not home.acceptance(entry):
        raise Conflict(f"the licence of {entry.title} ({entry.licence.name}) was not accepted.")
    if is_safetensors(path):
        # Told before gigabytes are copied.
        _require_layout(path, found)
    with home.locked(entry):
        require_space(home, entry, path.stat().st_size)
        place = home.create(entry, file)
        partial = place.with_name(f"{place.name}.import")
        try:
            copy(path, partial, advance=advance)
            # Another version than the one before may be given on purpose: no earlier digest counts here.
            return land(entry, file, home, partial)
        except OmnimatteError:
            raise
        except OSError as error:
            raise from_exception(error, doing=f"copying {path} to {place}") from error
        finally:
            partial.unlink(missing_ok=True)


def _require_layout(path: Path, found: Recognised) -> None:
    shapes = {name: tensor.shape for name, tensor in read_header(path).items()}
    wrong = found.file.layout.mismatch(shapes) if found.file.layout is not None else ""
    if wrong:
        raise BadInput(f"{path} is not {found.entry.title}: {wrong}; get the right file.")


def _by_tensors(path: Path, among: Iterable[Entry]) -> Recognised | None:
    if not is_safetensors(path):
        return None
    shapes = {name: tensor.shape for name, tensor in read_header(path).items()}
    for entry in among:
        for file in entry.files:
            if file.layout is not None and file.layout.resembles(shapes):
                return Recognised(entry, file)
    return None


def _by_digest(path: Path, among: Iterable[Entry]) -> Recognised | None:
    size = path.stat().st_size
    fitting = [
        Recognised(entry, file)
        for entry in among
        for file in entry.files
        if file.sha256 is not None and file.least <= size <= file.limit
    ]
    if not fitting:
        return None
    digest = sha256(path)
    return next((found for found in fitting if found.file.sha256 == digest), None)


def _by_name(path: Path, among: Iterable[Entry]) -> Recognised:
    named = [
        Recognised(entry, file)
        for entry in among
        for file in entry.files
        if file.layout is None and path.name in (file.name, (file.remote or file.path).rpartition("/")[2])
    ]
    if len(named) == 1:
        return named[0]
    if named:
        names = ", ".join(sorted({found.entry.name for found in named}))
        raise BadInput(
            f"{path} could belong to {names}; put it into a folder as `<name>/<path>` and run "
            "`omnimatte weights pull <name> --from FOLDER`."
        )
    if is_safetensors(path):
        first = next(iter(read_header(path)), "none")
        raise BadInput(f"{path} belongs to nothing in the catalogue: its first tensor is {first!r}.")
    raise BadInput(f"{path} belongs to nothing in the catalogue, neither by size and SHA-256 nor by name.")
