"""What lies in a store, with sizes and ages: the whole of it, one shard after another.

A shard is one of the 256 top folders that addresses fall into, so a walk's memory is bounded by a 256th of the store.
A listing is no snapshot: whoever acts on it looks again first (see `Shelf.manifest`).

Must not know: which artifacts are needed, and by whom. Deletes nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.artifacts import Manifest, Store

STAGING = "staging/"
# Pieces of uploads under way, which may go on; see orchestrator/uploads.py.
SESSIONS = f"{STAGING}sessions/"
_SHARD = re.compile(r"[0-9a-f]{2}")
_ADDRESS = re.compile(r"[0-9a-f]{64}")
# How the folder backend calls a file until it is whole; its listings leave such files out.
_UNFINISHED = re.compile(r".+#\d+")


@dataclass(frozen=True)
class Entry:
    """One object: its path in the store, its size in bytes, and when it was written (seconds since the epoch)."""

    path: str
    size: int
    written: float


@dataclass
class Pile:
    """All objects below one prefix. `written` is when the newest was."""

    prefix: str
    files: dict[str, int] = field(default_factory=dict)
    written: float = 0.0

    @property
    def size(self) -> int:
        return sum(self.files.values())

    def add(self, entry: Entry) -> None:
        self.files[entry.path.removeprefix(f"{self.prefix}/")] = entry.size
        self.written = max(self.written, entry.written)


@dataclass
class Shelf:
    """What was found at one address.

    Attributes:
        made: when its manifest was written; None if it has none.
        attempts: root of an attempt's data -> that data, whether the manifest names it or not.
        others: objects that belong to no attempt: the checkpoint, and what should not be there.
        manifest_size: bytes.
    """

    address: str
    made: float | None = None
    manifest_size: int = 0
    attempts: dict[str, Pile] = field(default_factory=dict)
    others: list[Entry] = field(default_factory=list)

    @property
    def size(self) -> int:
        data = sum(pile.size for pile in self.attempts.values())
        return self.manifest_size + data + sum(entry.size for entry in self.others)

    def add(self, entry: Entry) -> None:
        name, _, rest = entry.path.removeprefix(f"{Store.prefix(self.address)}/").partition("/")
        root = f"{Store.prefix(self.address)}/{name}"
        if rest:
            self.attempts.setdefault(root, Pile(root)).add(entry)
        elif name == "manifest.json":
            self.made, self.manifest_size = entry.written, entry.size
        else:
            self.others.append(entry)


@dataclass(frozen=True)
class Unreadable:
    """A manifest that is no manifest; `why` says what is wrong with it."""

    why: str


def manifest_at(store: Store, address: str) -> Manifest | Unreadable | None:
    """The manifest of `address` as it is now, what is wrong with it, or None."""
    raw = store.read(f"{Store.prefix(address)}/manifest.json")
    if raw is None:
        return None
    try:
        data: dict[str, Any] = json.loads(raw)
        manifest = Manifest(**data)
        sizes = {str(name): int(size) for name, size in manifest.files.items()}
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        return Unreadable(f"it is no manifest ({error})")
    if manifest.address != address:
        return Unreadable(f"it is the manifest of another artifact, {str(manifest.address)[:12]}")
    root = str(manifest.root)
    if not root.startswith(f"{Store.prefix(address)}/") or "/" in root.removeprefix(f"{Store.prefix(address)}/"):
        return Unreadable(f"its data is said to be at {root!r}, which is outside of the artifact")
    if any(size < 0 for size in sizes.values()):
        return Unreadable("it names a file of negative size")
    return manifest


def shelves(store: Store) -> Iterator[Shelf]:
    """Everything that lies at an address, in the order of addresses within each shard."""
    for shard in store.folders():
        if _SHARD.fullmatch(shard):
            yield from shard_of(store, shard)


def shard_of(store: Store, shard: str) -> Iterator[Shelf]:
    """The shelves of one shard; objects at no address are left out (see `strangers`)."""
    found: dict[str, Shelf] = {}
    for entry in entries(store, shard):
        address = entry.path.split("/")[1]
        if _ADDRESS.fullmatch(address) and address.startswith(shard) and entry.path.count("/") >= 2:
            found.setdefault(address, Shelf(address)).add(entry)
    yield from (found[address] for address in sorted(found))


def shelf_at(store: Store, address: str) -> Shelf:
    """What lies at one address."""
    shelf = Shelf(address)
    for entry in entries(store, Store.prefix(address)):
        shelf.add(entry)
    return shelf


def entries(store: Store, prefix: str) -> Iterator[Entry]:
    """Every object below the folder `prefix`."""
    for path, size, written in store.listed(prefix):
        yield Entry(path, size, written)


def staged(store: Store) -> Iterator[Entry]:
    """Uploads that have no address yet."""
    return entries(store, STAGING.rstrip("/"))


def unfinished(store: Store) -> Iterator[tuple[Path, Entry]]:
    """Files of a folder store whose writer has not finished: it still writes, or it died. None in a bucket, where the
    bucket's own rule must end them ("abort incomplete multipart uploads")."""
    folder = store.folder
    if folder is None or not folder.is_dir():
        return
    for path in folder.rglob("*#*"):
        try:
            if _UNFINISHED.fullmatch(path.name) and path.is_file() and not path.is_symlink():
                status = path.stat()
                yield path, Entry(path.relative_to(folder).as_posix(), status.st_size, status.st_mtime)
        except FileNotFoundError:
            continue
