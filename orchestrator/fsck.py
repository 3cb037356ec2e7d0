"""Checks a store: every manifest can be read, all data that it names is there and whole, nothing lies about.

Looks at sizes, not at contents: minutes for a store of a million objects, and enough to find what crashes, full disks
and people do to a store. It may run beside a server: what looks wrong is looked at again, because a listing is no
snapshot, and repairs follow the protocol of orchestrator/keep.py.
Must not know: gRPC, or how findings are shown. Blocking.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from orchestrator.collect import abandoned, old_before
from orchestrator.keep import Keeper
from orchestrator.references import References
from services.artifacts import Manifest, Store
from services.store_walk import Pile, Shelf, Unreadable, manifest_at, shelf_at, shelves, staged, unfinished


class Fault(StrEnum):
    """UNREADABLE and INCOMPLETE artifacts are deleted by a repair, so that they are made again; ORPHANs are deleted;
    of a LOST one only the reference is dropped, once its job has ended."""

    UNREADABLE = "unreadable"
    INCOMPLETE = "incomplete"
    ORPHAN = "orphan"
    LOST = "lost"


@dataclass(frozen=True)
class Finding:
    """Something wrong with the store.

    Attributes:
        path: where, in the store; an address for LOST.
        what: one line for people.
        size: bytes of what is wrong.
        repaired: whether it is no longer so.
    """

    fault: Fault
    path: str
    what: str
    size: int = 0
    repaired: bool = False


class Checker:
    """Checks one store against itself and against the references of its database."""

    def __init__(
        self, *, store: Store, references: References, keeper: Keeper, grace: float, repair: bool = False
    ) -> None:
        """grace: seconds; data that no manifest names is an orphan when it is older, and under way before that."""
        self._store = store
        self._references = references
        self._keeper = keeper
        self._grace = grace
        self._repair = repair
        self.artifacts = 0
        """How many were checked."""

    def check(self) -> Iterator[Finding]:
        """Everything that is wrong, as it is found and, if asked for, repaired."""
        old = old_before(self._references, grace=self._grace, now=time.time())
        present: set[str] = set()
        for shelf in shelves(self._store):
            manifest = manifest_at(self._store, shelf.address)
            if manifest is not None:
                self.artifacts += 1
                present.add(shelf.address)
                yield from self._artifact(shelf, manifest)
            yield from self._orphans(shelf, manifest, old)
        yield from self._loose()
        yield from self._lost(present)

    def _artifact(self, shelf: Shelf, manifest: Manifest | Unreadable) -> Iterator[Finding]:
        path = f"{Store.prefix(shelf.address)}/manifest.json"
        if isinstance(manifest, Unreadable):
            again: Manifest | Unreadable | None = manifest
            fault, what = Fault.UNREADABLE, manifest.why
        else:
            if not _wrong(manifest, shelf.attempts.get(manifest.root)):
                return
            again, now = manifest_at(self._store, shelf.address), shelf_at(self._store, shelf.address)
            if not isinstance(again, Manifest):
                return
            wrong = _wrong(again, now.attempts.get(again.root))
            # Deleted or made anew between the two looks: its manifest is no longer the one that named that data.
            if not wrong or manifest_at(self._store, shelf.address) != again:
                return
            fault, what = Fault.INCOMPLETE, f"{again.stage}: {wrong}"

        def repair() -> bool:
            return self._keeper.discard(shelf.address, unused_since=time.time(), force=True)

        yield self._found(Finding(fault, path, what, shelf.size), repair)

    def _orphans(self, shelf: Shelf, manifest: Manifest | Unreadable | None, old: float) -> Iterator[Finding]:
        if isinstance(manifest, Unreadable):
            # Nobody can say which of them it named; once it is gone, they are orphans.
            return
        for pile in abandoned(shelf, manifest, old):
            what = f"data that no manifest names, {len(pile.files)} objects"
            yield self._found(Finding(Fault.ORPHAN, pile.prefix, what, pile.size), self._removing(pile.prefix))
        for entry in shelf.others:
            if entry.written <= old:
                name = entry.path.rsplit("/", 1)[-1]
                what = "checkpoint of an attempt that nobody goes on with" if name == "checkpoint" else "unknown file"
                yield self._found(Finding(Fault.ORPHAN, entry.path, what, entry.size), self._removing_one(entry.path))

    def _loose(self) -> Iterator[Finding]:
        old = time.time() - self._grace
        for entry in staged(self._store):
            if entry.written <= old:
                finding = Finding(Fault.ORPHAN, entry.path, "upload that was broken off", entry.size)
                yield self._found(finding, self._removing_one(entry.path))
        for path, entry in unfinished(self._store):
            if entry.written <= old:
                finding = Finding(Fault.ORPHAN, entry.path, "half-written file", entry.size)
                yield self._found(finding, _unlinking(path))

    def _lost(self, present: set[str]) -> Iterator[Finding]:
        for held in self._references.held():
            if held.address in present or manifest_at(self._store, held.address) is not None:
                continue

            def forget(job: str = held.job, address: str = held.address, final: bool = held.final) -> bool:
                # A job under way makes it again, and refers to it again.
                if final:
                    self._references.forget(job, address)
                return final

            what = f"job {held.job} needs this {held.role.value}, which is not in the store"
            yield self._found(Finding(Fault.LOST, held.address, what), forget)

    def _removing(self, prefix: str) -> Callable[[], bool]:
        def remove() -> bool:
            self._store.remove(prefix)
            return True

        return remove

    def _removing_one(self, path: str) -> Callable[[], bool]:
        def remove() -> bool:
            self._store.remove_object(path)
            return True

        return remove

    def _found(self, finding: Finding, repair: Callable[[], bool]) -> Finding:
        if not self._repair:
            return finding
        return Finding(finding.fault, finding.path, finding.what, finding.size, repaired=repair())


def _unlinking(path: Path) -> Callable[[], bool]:
    def unlink() -> bool:
        path.unlink(missing_ok=True)
        return True

    return unlink


def _wrong(manifest: Manifest, pile: Pile | None) -> str:
    """What is wrong with an artifact's data; "" if nothing is."""
    files = pile.files if pile is not None else {}
    for name, size in sorted(manifest.files.items()):
        if name not in files:
            return f"{name} is missing"
        if files[name] != size:
            return f"{name} has {files[name]} bytes instead of {size}"
    found = pile.size if pile is not None else 0
    if manifest.size is not None and found != manifest.size:
        return f"its data has {found} bytes instead of {manifest.size}"
    if pile is None and manifest.size is None and not manifest.files:
        return "its data is missing"
    return ""
