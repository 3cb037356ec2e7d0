"""Where files are taken from: a hub or its mirror, or a folder on this machine. Two sources, one call.

Must not know: what is done with the files.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from services.catalogue import http
from services.catalogue.check import Advance
from services.catalogue.entry import Entry, WeightFile
from services.errors import BadInput, BadOption, NotFound

_BLOCK = 2**20


class Source(Protocol):
    def fetch(self, entry: Entry, file: WeightFile, partial: Path, *, advance: Advance) -> None:
        """Write `file` into `partial`, at most `file.limit` bytes. Raises a member of services/errors.py."""


@dataclass(frozen=True)
class HubSource:
    """A model hub, or a mirror that serves the same paths."""

    base: str
    """Base URL without a slash at its end; see `http.base_url`."""

    pause: Callable[[float], None] = time.sleep
    """Waits between attempts, in seconds."""

    def fetch(self, entry: Entry, file: WeightFile, partial: Path, *, advance: Advance) -> None:
        if file.origin is None:
            raise BadOption(f"{entry.title} is on no hub; {entry.remedy}.")
        url = f"{self.base}/{quote(file.origin.path(file.remote or file.path))}"
        http.download(url, partial, limit=file.limit, advance=advance, pause=self.pause)


@dataclass(frozen=True)
class FolderSource:
    """A folder, such as another machine's weights folder or a clone of a hub's repository. No network is used.

    A file is looked for as `<entry>/<path>`, `<owner>/<name>/<path>` and `<name>/<path>`.
    """

    folder: Path

    own: bool = True
    """Whether the folder may also be the entry's own, so that `<path>` is looked for. Not for several entries: they
    have files of the same name."""

    def fetch(self, entry: Entry, file: WeightFile, partial: Path, *, advance: Advance) -> None:
        source = self.find(entry, file)
        size = source.stat().st_size
        if size > file.limit:
            raise BadInput(f"{source} has {size:,} bytes, at most {file.limit:,} belong there; get it again.")
        copy(source, partial, advance=advance)

    def find(self, entry: Entry, file: WeightFile) -> Path:
        """Raises NotFound, and says where the file was looked for."""
        names = [f"{entry.name}/{file.path}"]
        if file.origin is not None:
            remote = file.remote or file.path
            repository = file.origin.repository
            names += [f"{repository}/{remote}", f"{repository.rpartition('/')[2]}/{remote}"]
            names += [remote] if self.own else []
        names += [file.path] if self.own else []
        for name in names:
            if (self.folder / name).is_file():
                return self.folder / name
        raise NotFound(f"{file.path} of {entry.title} is not in {self.folder}; put it there as {names[0]}.")


def copy(source: Path, target: Path, *, advance: Advance) -> None:
    """Copy bytes, telling `advance`; the rights of the source file are not taken over. Raises BadInput."""
    try:
        reading = source.open("rb")
    except OSError as error:
        raise BadInput(f"{source} cannot be read ({error.strerror}).") from error
    with reading, target.open("wb") as writing:
        while block := reading.read(_BLOCK):
            writing.write(block)
            advance(len(block))
