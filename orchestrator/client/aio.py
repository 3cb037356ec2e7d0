"""The asyncio client: the same calls as the blocking one, awaited.

Must not know: how the server does it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from orchestrator.access.credentials import Credentials
from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.api import omnimatte_pb2_grpc
from orchestrator.api.status import from_rpc
from orchestrator.client import calls
from orchestrator.client.calls import Call
from orchestrator.client.files import RESUMABLE_BYTES, Arrivals, arriving, digest_of, open_source, read_pieces
from orchestrator.client.retry import PATIENT, Retry, caught_up
from orchestrator.streams import pulled
from services.errors import NotFound, OmnimatteError


class AsyncClient:
    """A connection to the orchestrator at `address` (HOST:PORT). An async context manager of one event loop.

    Every method does and raises what that of `Client` does.
    """

    def __init__(
        self,
        address: str,
        *,
        credentials: Credentials | None = None,
        timeout: float = 30.0,
        retry: Retry = PATIENT,
    ) -> None:
        """See `Client`. To be made where an event loop runs."""
        credentials = credentials or Credentials()
        self.address = address
        self._timeout = timeout
        self._retry = retry
        self._credentials = credentials
        self._channel = credentials.aio_channel(address, calls.OPTIONS)
        self._stub: Any = omnimatte_pb2_grpc.OmnimatteStub(self._channel)  # type: ignore[no-untyped-call]

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._channel.close()

    async def upload(
        self,
        source: Path | str | Iterable[bytes],
        *,
        filename: str = "",
        on_sent: Callable[[int], None] = lambda _: None,
    ) -> dict[str, str]:
        """See `Client.upload`."""
        opened = await asyncio.to_thread(open_source, source, filename)
        if opened.path is not None and opened.path.stat().st_size >= RESUMABLE_BYTES:
            return await self._resumable(opened.path, opened.name, on_sent)
        failures = 0
        while True:
            try:
                first = pb.UploadRequest(filename=opened.name)
                return calls.file_of((await self._stream(first, opened.pieces, 0, on_sent)).file)
            except OmnimatteError as error:
                failures += 1
                pause = self._retry.pause(error, failures) if opened.again else None
                if pause is None:
                    raise
            await asyncio.sleep(pause)
            opened = await asyncio.to_thread(open_source, source, filename)

    async def _resumable(self, path: Path, name: str, on_sent: Callable[[int], None]) -> dict[str, str]:
        digest = await asyncio.to_thread(digest_of, path)
        session: pb.UploadSession = await self._call(calls.start_upload(name, path.stat().st_size, digest))
        failures, before = 0, -1
        while not session.complete:
            offset = session.received_bytes
            failures, before = (0, offset) if offset > before else (failures, before)
            first = pb.UploadRequest(upload=session.name, offset=offset)
            try:
                return calls.file_of((await self._stream(first, read_pieces(path, offset), offset, on_sent)).file)
            except OmnimatteError as error:
                failures += 1
                pause = self._retry.pause(caught_up(error), failures)
                if pause is None:
                    raise
            await asyncio.sleep(pause)
            session = await self._call(calls.get_upload(session.name))
        return {"digest": session.file.digest, "filename": name}

    async def _stream(
        self, first: pb.UploadRequest, pieces: Iterable[bytes], sent: int, on_sent: Callable[[int], None]
    ) -> pb.UploadResponse:
        with self._errors():
            call = self._stub.Upload(metadata=self._metadata)
            try:
                await call.write(first)
                async for piece in pulled(iter(pieces)):
                    await call.write(pb.UploadRequest(chunk=piece))
                    sent += len(piece)
                    on_sent(sent)
                await call.write(pb.UploadRequest(finish_write=True))
                await call.done_writing()
            except asyncio.InvalidStateError:
                # The server has ended the call already; its answer says why.
                pass
            except BaseException:
                call.cancel()
                raise
            answer: pb.UploadResponse = await call
            return answer

    async def create_job(self, spec: Mapping[str, Any], *, request_id: str = "") -> pb.Job:
        """See `Client.create_job`."""
        job: pb.Job = await self._call(calls.create(spec, request_id))
        return job

    async def create_jobs(
        self, specs: Sequence[tuple[str, Mapping[str, Any]]]
    ) -> AsyncIterator[pb.Job | OmnimatteError]:
        """See `Client.create_jobs`."""
        for start in range(0, len(specs), calls.BATCH):
            for outcome in calls.outcomes(await self._call(calls.batch(specs[start : start + calls.BATCH]))):
                yield outcome

    async def estimate(self, spec: Mapping[str, Any]) -> pb.JobEstimate:
        """See `Client.estimate`."""
        estimate: pb.JobEstimate = await self._call(calls.estimate(spec), patient=True)
        return estimate

    async def preview_masks(self, spec: Mapping[str, Any], frame: int) -> dict[str, pb.MaskPreview]:
        """See `Client.preview_masks`."""
        answer: pb.PreviewMasksResponse = await self._call(calls.preview(spec, frame), patient=True)
        return {mask.label: mask for mask in answer.masks}

    async def get(self, name: str, *, fields: Sequence[str] = ()) -> pb.Job:
        """See `Client.get`."""
        job: pb.Job = await self._call(calls.get(name, fields))
        return job

    async def list(
        self, *, page_size: int = 0, states: Sequence[int] = (), fields: Sequence[str] = ()
    ) -> AsyncIterator[pb.Job]:
        """See `Client.list`."""
        token = ""
        while True:
            page: pb.ListJobsResponse = await self._call(calls.page(page_size, token, states, fields))
            for job in page.jobs:
                yield job
            token = page.next_page_token
            if not token:
                return

    async def watch(self, name: str, *, after: int = 0, patience: float = 10.0) -> AsyncIterator[pb.JobEvent]:
        """See `Client.watch`."""
        heard = time.monotonic()
        while True:
            try:
                with self._errors():
                    async for event in self._stub.WatchJob(calls.watch(name, after), metadata=self._metadata):
                        after, heard = event.sequence, time.monotonic()
                        yield event
                return
            except OmnimatteError as error:
                if not error.retryable or time.monotonic() - heard > patience:
                    raise
                await asyncio.sleep(0.2)

    async def cancel(self, name: str) -> pb.Job:
        """See `Client.cancel`."""
        job: pb.Job = await self._call(calls.cancel(name))
        return job

    async def delete(self, name: str) -> None:
        """See `Client.delete`."""
        await self._call(calls.delete(name))

    async def sign_urls(self, name: str, *, paths: Sequence[str] = (), ttl: float = 0.0) -> dict[str, str]:
        """See `Client.sign_urls`."""
        answer: pb.SignUrlsResponse = await self._call(calls.sign(name, paths, ttl))
        return {one.path: one.url for one in answer.urls}

    async def download(
        self, name: str, out: Path, *, paths: Sequence[str] = (), on_received: Callable[[int], None] = lambda _: None
    ) -> None:
        """See `Client.download`."""
        with arriving(out) as partial, self._errors():
            arrivals = Arrivals(partial)
            request = pb.DownloadRequest(name=name, paths=paths)
            async for piece in self._stub.Download(request, metadata=self._metadata):
                await asyncio.to_thread(arrivals.put, piece)
                on_received(arrivals.received)
            arrivals.done()

    async def compose(
        self, name: str, edit: str, out: Path, *, on_progress: Callable[[pb.StageProgress], None] = lambda _: None
    ) -> None:
        """See `Client.compose`."""
        with arriving(out) as partial, self._errors():
            arrivals = Arrivals(partial)
            request = pb.ComposeRequest(job=name, edit=edit)
            async for step in self._stub.Compose(request, metadata=self._metadata):
                if step.WhichOneof("step") == "progress":
                    on_progress(step.progress)
                else:
                    await asyncio.to_thread(arrivals.put, step.piece)
            arrivals.done()

    async def _call(self, call: Call, *, patient: bool = False) -> Any:
        method, failures = getattr(self._stub, call.method), 0
        while True:
            try:
                with calls.traced(call), self._errors():
                    timeout = None if patient else self._timeout
                    return await method(call.request, timeout=timeout, metadata=self._metadata)
            except NotFound:
                if call.removes and failures:
                    return None
                raise
            except OmnimatteError as error:
                failures += 1
                pause = self._retry.pause(error, failures)
                if pause is None:
                    raise
            await asyncio.sleep(pause)

    @property
    def _metadata(self) -> calls.Metadata:
        return calls.metadata(self._credentials)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            raise from_rpc(error, address=self.address) from error
