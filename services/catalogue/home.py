"""The folder of all weights on this machine: where files lie, and the small records beside them.

    <home>/<entry>/<path of a file>      the weights
    <home>/<entry>/<path>.partial        one that is being fetched
    <home>/<entry>/.files.json           size and SHA-256 of every file that was checked, and when
    <home>/<entry>/.licence.json         who accepted which licence, and when

Must not know: where weights come from, or what is in them.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.catalogue.entry import Entry, WeightFile
from services.errors import BadInput, BadOption, Conflict, OutOfSpace, from_exception

WEIGHTS_VARIABLE = "OMNIMATTE_WEIGHTS"
_FILES, _LICENCE, _LOCK = ".files.json", ".licence.json", ".lock"


@dataclass(frozen=True)
class Seen:
    """What is known of a file that was checked once."""

    size: int
    sha256: str
    checked: str
    """When, ISO 8601."""

    wrong: bool = False
    """Whether the file was found changed since; `sha256` is then what it should have, "" if that is not known."""


@dataclass(frozen=True)
class WeightsHome:
    """The folder of all weights."""

    path: Path

    @classmethod
    def default(cls) -> WeightsHome:
        """$OMNIMATTE_WEIGHTS, else `weights` in the stack's home ($OMNIMATTE_HOME, or ~/.local/share/omnimatte)."""
        chosen = os.environ.get(WEIGHTS_VARIABLE)
        if chosen:
            return cls(Path(chosen).expanduser().absolute())
        home = os.environ.get("OMNIMATTE_HOME")
        if home:
            return cls(Path(home).expanduser().absolute() / "weights")
        data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
        return cls(Path(data).expanduser().absolute() / "omnimatte" / "weights")

    def folder(self, entry: Entry) -> Path:
        return self.path / entry.name

    def place(self, entry: Entry, file: WeightFile) -> Path:
        """Where `file` lies. Raises BadInput if a link in the folder would lead out of it."""
        folder = self.folder(entry)
        place = folder / file.path
        if not place.parent.resolve().is_relative_to(folder.resolve()):
            raise BadInput(f"{place.parent} is a link that leads out of {folder}; remove the link.")
        return place

    def create(self, entry: Entry, file: WeightFile) -> Path:
        """Like `place`, and makes the folders that lead there. Raises BadInput, BadOption."""
        try:
            self.folder(entry).mkdir(parents=True, exist_ok=True)
            place = self.place(entry, file)
            place.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadOption(
                f"the weights folder {self.folder(entry)} cannot be made ({error.strerror}); set {WEIGHTS_VARIABLE} to "
                "a folder that can be written to."
            ) from error
        return place

    @contextmanager
    def locked(self, entry: Entry) -> Iterator[None]:
        """Only one process at a time changes an entry. Raises Conflict if another does, BadOption."""
        folder = self.folder(entry)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = (folder / _LOCK).open("w")
        except OSError as error:
            raise BadOption(
                f"the weights folder {folder} cannot be written to ({error.strerror}); set {WEIGHTS_VARIABLE} to "
                "another one."
            ) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Conflict(f"another command is changing {folder}; wait until it has ended.") from error
            yield

    def seen(self, entry: Entry) -> dict[str, Seen]:
        """What was recorded of the entry's files, by path. A record that cannot be read counts as none."""
        found = {}
        for path, value in _read(self.folder(entry) / _FILES).items():
            try:
                found[path] = Seen(
                    int(value["size"]), str(value["sha256"]), str(value["checked"]), bool(value.get("wrong", False))
                )
            except (KeyError, TypeError, ValueError):
                continue
        return found

    def record(self, entry: Entry, file: WeightFile, seen: Seen) -> None:
        known = self.seen(entry) | {file.path: seen}
        content = {path: vars(value) for path, value in sorted(known.items())}
        _write(self.folder(entry) / _FILES, content)

    def acceptance(self, entry: Entry) -> dict[str, Any]:
        """The recorded acceptance of the licence that the entry has now; empty if there is none."""
        found = _read(self.folder(entry) / _LICENCE)
        return found if found.get("licence") == entry.licence.name else {}

    def accept(self, entry: Entry, *, who: str, when: str, how: str) -> None:
        """Record that the entry's licence was accepted. how: "asked" or "option"."""
        content = {"entry": entry.name, "licence": entry.licence.name, "commercial": entry.licence.commercial}
        _write(self.folder(entry) / _LICENCE, content | {"accepted_by": who, "accepted_at": when, "how": how})


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, content: dict[str, Any]) -> None:
    scratch = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
        scratch.replace(path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        known = from_exception(error, doing=f"writing {path}")
        if isinstance(known, OutOfSpace):
            raise known from error
        raise BadOption(
            f"{path} cannot be written ({error.strerror}); set {WEIGHTS_VARIABLE} to another folder."
        ) from error
