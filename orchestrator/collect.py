"""Garbage collection: deletes what nobody needs, and nothing else.

Deleted is, once it is older than the grace period:
  - an artifact that no job refers to (orchestrator/keep.py has the protocol, and why it is safe);
  - data that no manifest names and checkpoints: what attempts left that were killed;
  - uploads that were broken off by a crash.
A job refers to what it uses until it is deleted, or until its retention is over.

An attempt under way has no manifest either. It belongs to a job under way, and so it wrote everything after that job
began: what was written before the oldest of those jobs began, with a margin for clocks, is nobody's any more.

It may die at any point, and any number of it may run at once: each deletion is complete in itself, and what one leaves
the next one finds.
Must not know: gRPC, or how stages run. Blocking: call it from a thread.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.db import Database
from orchestrator.hygiene import Hygiene
from orchestrator.keep import Keeper
from orchestrator.records import Job
from orchestrator.references import References, Role
from orchestrator.spec import uploads
from services.artifacts import Manifest, Store
from services.errors import Conflict
from services.store_walk import SESSIONS, Pile, Shelf, manifest_at, shard_of, staged, unfinished

_log = logging.getLogger(__name__)

_CLOCKS_SECONDS = 300.0
_OWNER = "owner"


class Kind(StrEnum):
    ARTIFACT = "artifact"
    ATTEMPT = "attempt"
    CHECKPOINT = "checkpoint"
    UPLOAD = "upload"


@dataclass(frozen=True)
class Removed:
    """Something that was deleted, or would have been: its path in the store and its bytes."""

    kind: Kind
    path: str
    size: int


@dataclass
class Collected:
    """A collection's outcome. `count` and `size` are of what went; `kept` are the bytes of what is still there."""

    count: int = 0
    size: int = 0
    kept: int = 0


class Collector:
    """Collects one store for one database."""

    def __init__(
        self,
        *,
        store: Store,
        database: Database,
        references: References,
        keeper: Keeper,
        hygiene: Hygiene,
        on_removed: Callable[[Removed], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._database = database
        self._references = references
        self._keeper = keeper
        self._hygiene = hygiene
        self._on_removed = on_removed
        self._clock = clock
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Let a collection under way end early."""
        self._stopping.set()

    def own(self) -> None:
        """Say in the store that it belongs to this database. Raises Conflict if it belongs to another."""
        if self._store.read(_OWNER) is None:
            self._store.put(_OWNER, self._references.identity().encode())
        self.require_own()

    def require_own(self) -> None:
        """Raises Conflict unless the store belongs to this database, which alone knows what is needed of it."""
        owner = self._store.read(_OWNER)
        if owner != self._references.identity().encode():
            why = "no server has used it yet" if owner is None else "it belongs to another server's database"
            raise Conflict(
                f"the store {self._store.url} is not collected: {why}, and only that one knows what is needed of it; "
                "give the server's own --database, or start the server once."
            )

    def collect(self, *, dry_run: bool = False) -> Collected:
        """Delete what nobody needs. dry_run: only say what that would be, by references as they are now.

        Raises:
            Conflict: the store belongs to another database.
        """
        self.require_own()
        hygiene = self._hygiene
        if not dry_run:
            self.adopt()
            self._references.expire(
                intermediates=hygiene.keep_intermediates_seconds, deliverables=hygiene.keep_results_seconds
            )
            for address in self._references.stale():
                self._keeper.discard(address, unused_since=-1.0)
        # Before anything is listed: a job that starts later writes later.
        old = old_before(self._references, grace=hygiene.grace_seconds, now=self._clock())
        done = Collected()
        rest = 0
        for shard in self._store.folders():
            if self._stopping.is_set():
                return done
            rest += self._shard(shard, old, done, dry_run)
        rest += self._loose(done, dry_run)
        if not dry_run:
            self._references.weigh_rest(rest)
        return done

    def adopt(self) -> None:
        """Give jobs from before there were references theirs."""
        hygiene = self._hygiene
        for job in self._references.unreferenced_jobs(
            intermediates=hygiene.keep_intermediates_seconds, deliverables=hygiene.keep_results_seconds
        ):
            for address, role in _needs(self._database.get(job)):
                self._references.claim(job, address, role=role)

    def _shard(self, shard: str, old: float, done: Collected, dry_run: bool) -> int:
        """Collect one shard; returns the bytes that stay and belong to no artifact."""
        unused_since = self._clock() - self._hygiene.grace_seconds
        found = list(shard_of(self._store, shard))
        made = [shelf for shelf in found if shelf.made is not None]
        aged = [shelf.address for shelf in made if (shelf.made or math.inf) <= unused_since]
        candidates = self._references.candidates(aged, unused_since=unused_since)
        stays: dict[str, int] = {}
        rest = 0
        for shelf in found:
            if self._stopping.is_set():
                break
            manifest = manifest_at(self._store, shelf.address)
            named = shelf.attempts.get(manifest.root) if isinstance(manifest, Manifest) else None
            size = shelf.manifest_size + (named.size if named else 0)
            gone = shelf.address in candidates and (
                dry_run or self._keeper.discard(shelf.address, unused_since=unused_since)
            )
            if gone:
                self._removed(Removed(Kind.ARTIFACT, Store.prefix(shelf.address), size), done)
            elif shelf.made is not None:
                stays[shelf.address] = named.size if named else 0
                done.kept += size
            for pile in abandoned(shelf, manifest, old):
                if not dry_run:
                    self._store.remove(pile.prefix)
                self._removed(Removed(Kind.ATTEMPT, pile.prefix, pile.size), done)
                rest -= pile.size
            for entry in shelf.others:
                rest += entry.size
                if entry.written <= old:
                    if not dry_run:
                        self._store.remove_object(entry.path)
                    self._removed(Removed(Kind.CHECKPOINT, entry.path, entry.size), done)
                    rest -= entry.size
            rest += sum(pile.size for pile in shelf.attempts.values() if pile is not named)
        if not dry_run and not self._stopping.is_set():
            self._references.weigh(stays)
            self._references.absent(shard, present=stays, unused_since=unused_since)
        done.kept += max(0, rest)
        return rest

    def _loose(self, done: Collected, dry_run: bool) -> int:
        """Collect what lies at no address; returns the bytes that stay."""
        unused_since = self._clock() - self._hygiene.grace_seconds
        rest = 0
        for entry in staged(self._store):
            if entry.written <= unused_since:
                if not dry_run:
                    self._store.remove_object(entry.path)
                self._removed(Removed(Kind.UPLOAD, entry.path, entry.size), done)
            elif entry.path.startswith(SESSIONS):
                # Counted as they arrive: see `Sessions.held`.
                done.kept += entry.size
            else:
                rest += entry.size
        for path, entry in unfinished(self._store):
            if entry.written <= unused_since:
                if not dry_run:
                    path.unlink(missing_ok=True)
                self._removed(Removed(Kind.ATTEMPT, entry.path, entry.size), done)
            else:
                rest += entry.size
        done.kept += rest
        return rest

    def _removed(self, removed: Removed, done: Collected) -> None:
        done.count += 1
        done.size += removed.size
        _log.debug("collected %s %s", removed.kind, removed.path)
        self._on_removed(removed)


def old_before(references: References, *, grace: float, now: float) -> float:
    """What was written before this moment by an attempt, no attempt under way has written."""
    return min(now - grace, references.oldest_start() - _CLOCKS_SECONDS)


def abandoned(shelf: Shelf, manifest: object, old: float) -> Iterator[Pile]:
    """Data of attempts that nobody goes on with. `manifest` was read after the shelf was listed: an attempt that has
    been published since is named by it."""
    root = manifest.root if isinstance(manifest, Manifest) else ""
    for pile in shelf.attempts.values():
        if pile.prefix != root and pile.written <= old:
            yield pile


def _needs(job: Job) -> Iterator[tuple[str, Role]]:
    for _, file in uploads(job.spec):
        yield file.digest, Role.UPLOAD
    if job.result:
        yield job.result, Role.DELIVERABLE
