"""Keeps what jobs need, and deletes what none does: the one protocol that both sides follow.

A user *claims* an artifact: (1) one transaction records the reference, unless the artifact is marked as doomed;
(2) then it looks whether the artifact is there. A deleter *discards* it: (1) one transaction marks it as doomed, unless
there is a reference; (2) the manifest goes; (3) the mark goes; (4) the data goes.

Why no artifact goes that a live job has claimed: the two first transactions take the same row's lock, so they have an
order.
  - Claim first: the deleter finds the reference and does nothing.
  - Mark first, and still there: the claim records nothing and is tried again, after the mark has gone.
  - Mark first, and gone: the manifest went before the mark did, so what the user then looks for is either not there,
    and it makes it again, or was made anew after that, and the deleter has no more business with its manifest.
The data that goes last lies below the root that the deleted manifest named. A new attempt has a root of its own.

A deleter that dies leaves its mark. After `TAKEOVER_SECONDS` the next collection, or the next user, takes the mark
over and finishes. A deleter that was only slow must then not delete any more: it gives up `_PATIENCE_SECONDS` after its
mark. What it cannot help is being frozen for the rest of that time with its request to the store on the way.

Must not know: jobs' lives, gRPC, or what to delete when.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from enum import StrEnum

import sqlalchemy as sa

from orchestrator.claims import Claims
from orchestrator.patience import patiently
from orchestrator.references import Answer, Claim, References, Role
from services.artifacts import Manifest, Store
from services.errors import NotFound, OutOfSpace
from services.store_walk import manifest_at, shelf_at

_PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 0.1


class Kept(StrEnum):
    """HELD: it is there and stays. GONE: it must be made again. DOOMED: it is being deleted; ask again."""

    HELD = "held"
    GONE = "gone"
    DOOMED = "doomed"


class Keeper:
    """References and the store as one. Blocking, but for `keep` and `renew`."""

    def __init__(
        self,
        store: Store,
        references: References,
        *,
        limit_bytes: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """limit_bytes: of the store; 0 for none. clock: seconds."""
        self._clock = clock
        self._store = store
        self._references = references
        self._claims = Claims(references)
        self._limit = limit_bytes

    async def keep(self, job: str, address: str, *, role: Role) -> bool:
        """Claim the artifact for the job; False if it is gone: make it again."""
        claim = Claim(job, address, role)
        while True:
            answer = await self._claims.claim(claim)
            if (kept := await patiently(self._seen, address, answer)) is not Kept.DOOMED:
                return kept is Kept.HELD
            await asyncio.sleep(_POLL_SECONDS)

    async def renew(self, address: str) -> bool:
        """Begin the grace period of an artifact that no job needs yet anew; False if it is gone."""

        def touched() -> Kept:
            return self._seen(address, self._references.touch(address))

        while (kept := await patiently(touched)) is Kept.DOOMED:
            await asyncio.sleep(_POLL_SECONDS)
        if kept is Kept.HELD:
            await patiently(self.weigh, [address])
        return kept is Kept.HELD

    def try_keep(self, job: str, address: str, *, role: Role) -> Kept:
        """Claim the artifact for the job, without waiting."""
        return self._seen(address, self._references.claim(job, address, role=role))

    def _seen(self, address: str, answer: Answer) -> Kept:
        if answer is Answer.STALE:
            # For the stale mark's sake alone: without it, nothing is old enough.
            self.discard(address, unused_since=-1.0)
        if answer is not Answer.HELD:
            return Kept.DOOMED
        return Kept.HELD if self._store.find(address) is not None else Kept.GONE

    def weigh(self, addresses: Iterable[str]) -> None:
        """Record the sizes of artifacts that a job has claimed: the store's quota counts them from then on."""
        found = [artifact for address in addresses if (artifact := self._store.find(address)) is not None]
        self._references.weigh({one.address: size_of(self._store, one.manifest) for one in found})

    def uploads(self, addresses: Iterable[str]) -> Callable[[sa.Connection, str], None]:
        """What claims a new job's uploads in the very transaction that records the job: see `Database.create`."""
        wanted = list(addresses)

        def claim(connection: sa.Connection, job: str) -> None:
            if not self._references.claim_within(connection, job, wanted, role=Role.UPLOAD):
                raise NotFound("an upload of the job was removed just now, being too old; upload its files again.")

        return claim

    def require_room(self, *, more: int = 0) -> None:
        """Raises OutOfSpace if the store is full, or would be with `more` bytes."""
        if not self._limit:
            return
        used = self._references.size()
        if used >= self._limit or used + more > self._limit:
            raise OutOfSpace(
                f"the store holds {used / 1e9:.3g} GB of the {self._limit / 1e9:.3g} GB that it may; delete jobs that "
                "are no longer needed, or ask for a larger limit (OMNIMATTE_STORE_LIMIT) or a shorter retention."
            )

    def discard(self, address: str, *, unused_since: float, force: bool = False) -> bool:
        """Delete an artifact unless a job needs it or it was used after `unused_since`; whether it is gone.

        force: it is broken, delete it in any case.
        """
        marked = self._clock()
        mark = self._references.doom(address, unused_since=unused_since, force=force)
        if not mark:
            return False
        manifest = manifest_at(self._store, address)
        if self._clock() - marked > _PATIENCE_SECONDS:
            self._references.spare(address, mark)
            return False
        self._store.remove_object(f"{Store.prefix(address)}/manifest.json")
        self._references.release(address, mark)
        if isinstance(manifest, Manifest):
            self._store.remove(manifest.root)
        return True


def size_of(store: Store, manifest: Manifest) -> int:
    """Bytes of an artifact's data."""
    return shelf_at(store, manifest.address).size if manifest.size is None else manifest.size
