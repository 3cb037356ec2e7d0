"""Files on their way in: in one go, or in a session that survives broken connections and the death of this process.

A session's pieces lie in the store's staging area until the file is whole, and its row says which of them count. Who
sends to a session holds it: a second stream takes over from one that broke off unnoticed, and what the first one still
writes counts no more. A session lives no longer than staged data does (`Hygiene.grace_seconds`), so the collection of
the store needs to know nothing of it.
Must not know: gRPC, or jobs.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from orchestrator.db import Database
from orchestrator.keep import Keeper
from orchestrator.observe.metrics import Metrics
from orchestrator.spec import File
from orchestrator.streams import pulled, pump
from orchestrator.upload_sessions import Session, Sessions
from services.artifacts import Artifact, Store
from services.errors import BadInput, Cancelled, Conflict, NotFound, OutOfSpace, Unavailable

_DIGEST = re.compile(r"[0-9a-f]{64}")
_PIECE_BYTES = 8 << 20
_OPEN_SESSIONS = 32
# An upload asks so often whether the store is still below its limit.
_ROOM_BYTES = 16 << 20


@dataclass(frozen=True)
class Incoming:
    """The first message of an upload: `session` and `offset` where it goes on with one, `digest` where it is told."""

    filename: str = ""
    session: str = ""
    offset: int = 0
    digest: str = ""


class Uploads:
    """The service. Its methods raise the classes of services/errors.py."""

    def __init__(
        self,
        *,
        database: Database,
        sessions: Sessions,
        store: Store,
        keeper: Keeper,
        metrics: Metrics,
        max_bytes: int,
    ) -> None:
        self._database = database
        self._sessions = sessions
        self._store = store
        self._keeper = keeper
        self._metrics = metrics
        self._max_bytes = max_bytes

    async def receive(self, incoming: Incoming, chunks: AsyncIterator[bytes], *, tenant: str) -> tuple[File, int]:
        """Store a file for the tenant, or the rest of one; returns it and its size.

        `chunks` ends when the file is whole, and raises when it is broken off.

        Raises:
            BadInput: the file is empty or too large, or is not what its digest says; OutOfSpace: the store is full or
                has reached its limit. Nothing of it stays then.
            NotFound: there is no such session. Conflict: it goes on elsewhere in the file, or somebody else sends.
        """
        if incoming.digest and not _DIGEST.fullmatch(incoming.digest):
            raise BadInput(f"digest is {incoming.digest!r}; give the SHA-256 as 64 hex digits.", field="digest")
        if incoming.session:
            return await self._resume(incoming, chunks, tenant=tenant)
        await self._require_room()
        counted = self._counted(chunks, incoming.filename)
        first = await anext(counted, b"")
        name = incoming.filename or "the upload"
        if not first:
            raise BadInput(f"{name} is empty; send a file with content.", field="chunk")

        def store(pieces: Iterator[bytes]) -> Artifact:
            return self._store.upload(pieces, filename=incoming.filename, expected=incoming.digest)

        artifact = await pump(counted, store, first=first, doing=f"storing {name}")
        return await self._taken(artifact, incoming.filename, tenant=tenant)

    async def start(self, *, filename: str, size: int, digest: str, tenant: str) -> Session:
        """Begin a session, or go on with the tenant's own for the same file.

        Raises:
            BadInput, OutOfSpace (the store is full), Busy (too many sessions of the tenant are open).
        """
        if not _DIGEST.fullmatch(digest):
            raise BadInput(f"digest is {digest!r}; give the file's SHA-256 as 64 hex digits.", field="digest")
        if len(filename) > 255:
            raise BadInput("filename is longer than 255 characters; shorten it.", field="filename")
        if not 1 <= size <= self._max_bytes:
            raise BadInput(
                f"size_bytes is {size}; this server takes files of 1 byte to {self._max_bytes / 1e6:g} MB.",
                field="size_bytes",
            )
        complete = await self._own(digest, size, tenant=tenant)
        if not complete:
            found = await asyncio.to_thread(self._sessions.same, tenant=tenant, digest=digest, size=size)
            if found is not None:
                return found
            await self._require_room(size)
        return await asyncio.to_thread(
            self._sessions.create,
            tenant=tenant,
            filename=filename,
            digest=digest,
            size=size,
            complete=complete,
            most=_OPEN_SESSIONS,
        )

    async def get(self, session: str, *, tenant: str) -> Session:
        """Raises NotFound, also for a session of another tenant."""
        return await asyncio.to_thread(self._sessions.get, session, tenant=tenant)

    async def delete(self, session: str, *, tenant: str) -> None:
        """Give a session up, and its pieces. The file of one that is complete stays. Raises NotFound."""
        found = await asyncio.to_thread(self._sessions.get, session, tenant=tenant)
        await self._forget(found)

    async def _own(self, digest: str, size: int, *, tenant: str) -> bool:
        """Whether the tenant has sent the very file before."""
        if not await asyncio.to_thread(self._database.owns_upload, digest, tenant=tenant):
            return False
        found = await asyncio.to_thread(self._store.find, digest)
        if found is None or found.manifest.stage != "upload":
            return False
        if found.manifest.files["data"] != size:
            raise BadInput(f"size_bytes is {size}, but the file of this digest has another.", field="size_bytes")
        return await self._keeper.renew(digest)

    async def _resume(self, incoming: Incoming, chunks: AsyncIterator[bytes], *, tenant: str) -> tuple[File, int]:
        session = await asyncio.to_thread(self._sessions.get, incoming.session, tenant=tenant)
        if incoming.digest and incoming.digest != session.digest:
            raise BadInput("digest is not the one that the upload was begun with.", field="digest")
        _require_place(session, incoming.offset)
        if not session.complete:
            # Only now: a stream that begins wrongly must not end a good one.
            session = await asyncio.to_thread(self._sessions.take, incoming.session, tenant=tenant)
            _require_place(session, incoming.offset)
        if session.complete:
            return File(session.digest, session.filename), session.size
        await self._store_pieces(session, chunks)
        session = await asyncio.to_thread(self._sessions.get, session.id, tenant=tenant)
        if session.received != session.size:
            raise BadInput(
                f"the upload ended after {session.received} of {session.size} bytes; send the rest.", field="chunk"
            )
        return await self._finish(session)

    async def _store_pieces(self, session: Session, chunks: AsyncIterator[bytes]) -> None:
        buffer, end = bytearray(), session.received

        async def keep(data: bytes, offset: int) -> None:
            await self._require_room(len(data))
            await asyncio.to_thread(self._sessions.add, session, self._store, offset=offset, data=data)

        async def flush() -> None:
            if buffer:
                data = bytes(buffer)
                buffer.clear()
                await _ended(asyncio.ensure_future(keep(data, end - len(data))))

        try:
            async for chunk in chunks:
                buffer += chunk
                end += len(chunk)
                if end > session.size:
                    raise BadInput(f"more than the {session.size} bytes arrived that were told.", field="chunk")
                if len(buffer) >= _PIECE_BYTES:
                    await flush()
            await flush()
        except (Cancelled, Unavailable, asyncio.CancelledError):
            # The connection broke: what came before is worth keeping.
            await asyncio.shield(flush())
            raise
        except OutOfSpace:
            # What cannot be ended must not fill the store; unless another stream sees to it.
            if await asyncio.to_thread(self._sessions.delete, session, held=True):
                await asyncio.to_thread(self._store.remove, session.prefix)
            raise

    async def _finish(self, session: Session) -> tuple[File, int]:
        def whole() -> Iterator[bytes]:
            for path, size in self._sessions.pieces(session):
                for start in range(0, size, 1 << 20):
                    yield self._piece(path, start, min(size, start + (1 << 20)))

        def store(pieces: Iterator[bytes]) -> Artifact:
            return self._store.upload(pieces, filename=session.filename, expected=session.digest)

        try:
            # Through the event loop: the store's client cannot read in the thread in which it writes.
            artifact = await pump(pulled(whole()), store, first=b"", doing=f"storing {session.filename}")
        except (BadInput, NotFound):
            now = await asyncio.to_thread(self._sessions.get, session.id, tenant=session.tenant)
            if now.complete:
                # Another stream has ended it, and the pieces went while they were read here.
                return File(now.digest, now.filename), now.size
            await self._forget(session)
            raise
        answer = await self._taken(artifact, session.filename, tenant=session.tenant)
        await asyncio.to_thread(self._sessions.complete, session)
        await asyncio.to_thread(self._store.remove, session.prefix)
        return answer

    def _piece(self, path: str, start: int, end: int) -> bytes:
        try:
            return self._store.get_range(path, start, end)
        except FileNotFoundError as error:
            raise NotFound("pieces of the upload are gone; begin it again with StartUpload.", field="name") from error

    async def _require_room(self, more: int = 0) -> None:
        """Raises OutOfSpace; counts what has arrived of uploads under way."""

        def require() -> None:
            self._keeper.require_room(more=more + self._sessions.held())

        await asyncio.to_thread(require)

    async def _forget(self, session: Session) -> None:
        await asyncio.to_thread(self._sessions.delete, session)
        await asyncio.to_thread(self._store.remove, session.prefix)

    async def _taken(self, artifact: Artifact, filename: str, *, tenant: str) -> tuple[File, int]:
        # It may have been here before, too old to stay much longer.
        if not await self._keeper.renew(artifact.address):
            raise Unavailable(f"{filename or 'the upload'} was removed just now, being too old; send it again.")
        # After its bytes: only somebody who has them all may use them.
        await asyncio.to_thread(self._database.own_upload, artifact.address, tenant=tenant)
        size = artifact.manifest.files["data"]
        self._metrics.uploaded(size)
        return File(digest=artifact.address, filename=filename), size

    async def _counted(self, chunks: AsyncIterator[bytes], filename: str) -> AsyncIterator[bytes]:
        size, asked = 0, 0
        async for chunk in chunks:
            size += len(chunk)
            if size - asked >= _ROOM_BYTES:
                asked = size
                await self._require_room(size)
            if size > self._max_bytes:
                raise BadInput(
                    f"{filename or 'the upload'} is larger than this server's limit of {self._max_bytes / 1e6:g} MB; "
                    "send a shorter or more compressed clip.",
                    field="chunk",
                )
            if chunk:
                yield chunk
        await self._require_room(size)


async def _ended(work: asyncio.Future[None]) -> None:
    """Wait for `work`, which goes on to its end even if this is cancelled: a piece that has arrived is not dropped."""
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        if not work.cancelled():
            # The call is over: nobody is there to be told.
            work.exception()
        raise


def _require_place(session: Session, offset: int) -> None:
    if not session.complete and offset != session.received:
        raise Conflict(
            f"{session.received} bytes of the upload have arrived, and this goes on at {offset}; go on at "
            f"{session.received}.",
            field="offset",
        )


async def require_upload(path: str, file: File, *, database: Database, store: Store, tenant: str) -> None:
    """Raises NotFound, naming the field `path`, unless the tenant has sent the file."""
    owned = await asyncio.to_thread(database.owns_upload, file.digest, tenant=tenant)
    found = await asyncio.to_thread(store.find, file.digest) if owned else None
    # Only the tenant's own: the digest of a file, or the address of some stage's output, opens it to nobody.
    if found is None or found.manifest.stage != "upload":
        raise NotFound(
            f"{path}: there is no upload {file.digest[:12]} {file.filename}".rstrip() + "; upload the file first.",
            field=f"{path}.digest",
        )
