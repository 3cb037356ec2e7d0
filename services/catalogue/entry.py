"""What one entry of the catalogue says, as plain data. Must not know: the entries themselves, disks, networks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from services.catalogue.layouts import Layout

Allowed = Literal["yes", "no", "ask"]

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")
_DIGEST = re.compile(r"[0-9a-f]{64}")
# What a published size, rounded to three digits, may be off by, and the least that is allowed for.
_ROUNDING = 1.01
_SMALL = 2**20
# A checkpoint that is recognised by its tensors may be of any precision: 14 B parameters in float32 and some.
_LARGEST = 64 * 10**9
# Files whose size is not published are configurations and tokenizers.
_UNKNOWN = 64 * 2**20


@dataclass(frozen=True)
class Licence:
    """Under which terms weights are given away."""

    name: str
    """As its authors call it; an SPDX identifier where there is one."""

    commercial: Allowed
    """Whether a paid service may run them: yes, no, or ask (conditions to be read, or nothing is said)."""

    why: str
    """One sentence: the condition that decides it."""


@dataclass(frozen=True)
class Origin:
    """A folder of a model hub at one revision."""

    repository: str
    """`owner/name`, or `spaces/owner/name`."""

    revision: str = "main"
    """A full commit where it is known, else a branch; then the digests say whether the files are the right ones."""

    def __post_init__(self) -> None:
        for part in (*self.repository.split("/"), self.revision):
            if not _PART.fullmatch(part):
                raise ValueError(f"{self.repository}@{self.revision} is no address of a repository")

    def path(self, name: str) -> str:
        """The path of the file `name` below the hub's base URL."""
        return f"{self.repository}/resolve/{self.revision}/{name}"


@dataclass(frozen=True)
class WeightFile:
    """One file of an entry."""

    path: str
    """Where it lies in the entry's folder: relative, with `/`; never leads out of the folder."""

    about: int | None
    """Size in bytes as published, which may be rounded to three digits; None where it is not. Bounds what is taken."""

    size: int | None = None
    """Exact size in bytes, where it is published."""

    sha256: str | None = None
    """64 hex digits, where they are published; else the digest seen first is recorded and checked from then on."""

    origin: Origin | None = None
    """Where it comes from; None: it is on no hub, the user gives it with `import`."""

    remote: str = ""
    """Its path at the origin, where that is another one."""

    layout: Layout | None = None
    """Names and shapes of its tensors, where it is recognised by them."""

    def __post_init__(self) -> None:
        for path in (self.path, self.remote or self.path):
            if not is_inside(path):
                raise ValueError(f"{path!r} is no relative path that stays inside of a folder")
        if self.sha256 is not None and not _DIGEST.fullmatch(self.sha256):
            raise ValueError(f"{self.path}: {self.sha256!r} is no SHA-256")

    @property
    def limit(self) -> int:
        """Most bytes that a file of this name may have."""
        if self.size is not None:
            return self.size
        if self.layout is not None:
            return _LARGEST
        return _UNKNOWN if self.about is None else max(int(self.about * _ROUNDING), self.about + _SMALL)

    @property
    def least(self) -> int:
        """Fewest bytes that a file of this name may have."""
        if self.size is not None:
            return self.size
        if self.layout is not None or self.about is None or self.about <= _SMALL:
            return 1
        return int(self.about / _ROUNDING)

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name


@dataclass(frozen=True)
class Entry:
    """Weights that are got, kept and licensed together."""

    name: str
    """What the commands call them; also the name of their folder."""

    title: str
    """What people call them."""

    serves: str
    """Stage and profile: "casper: wan-1.3b"."""

    licence: Licence
    files: tuple[WeightFile, ...]

    given: str = ""
    """For weights that are on no hub: where their authors give them away."""

    note: str = ""
    """What else one should know, in one sentence."""

    def __post_init__(self) -> None:
        if not _PART.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name of a folder")
        if len({file.path for file in self.files}) != len(self.files):
            raise ValueError(f"{self.name} names a file twice")
        if bool(self.given) != any(file.origin is None for file in self.files):
            raise ValueError(f"{self.name}: `given` belongs to files that are on no hub")

    @property
    def total(self) -> int:
        """Bytes of all files, as published; files of unknown size count nothing."""
        return sum(file.size or file.about or 0 for file in self.files)

    @property
    def imported(self) -> bool:
        """Whether the user has to bring a file of it."""
        return bool(self.given)

    @property
    def command(self) -> str:
        """The command that gets it."""
        return "omnimatte weights import FILE" if self.imported else f"omnimatte weights pull {self.name}"

    @property
    def remedy(self) -> str:
        """The command that gets it, with what has to be done before."""
        if self.imported:
            return f"get {self.title} from {self.given}, then run `{self.command}` on the file"
        return f"get them with `{self.command}`"


def is_inside(path: str) -> bool:
    """Whether `path` is relative and stays inside of the folder it is joined to, on every system."""
    return bool(path) and all(_PART.fullmatch(part) for part in path.split("/"))
