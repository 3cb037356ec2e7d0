"""The blocking client.

Must not know: how the server does it, terminals, or command lines.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from orchestrator.client.files import (
    RESUMABLE_BYTES,
    Arrivals,
    Source,
    arriving,
    digest_of,
    open_source,
    read_pieces,
    reading,
)
from orchestrator.client.retry import PATIENT, Retry, caught_up
from orchestrator.client.threads import Guarded, received
from services.errors import NotFound, OmnimatteError


class Client:
    """A connection to the orchestrator at `address` (HOST:PORT). A context manager; thread-safe.

    Every method raises the classes of services/errors.py: Unavailable when the server cannot be reached, and what the
    server answered otherwise. Calls that time may heal are sent again, as `retry` says.
    """

    def __init__(
        self,
        address: str,
        *,
        credentials: Credentials | None = None,
        timeout: float = 30.0,
        retry: Retry = PATIENT,
    ) -> None:
        """Connects with the first call.

        Args:
            credentials: what the server is shown, and believed by; None: nothing, in the clear.
            timeout: seconds that a call may take that carries no files and no events.
        Raises:
            BadOption: the credentials' token would travel to another machine in the clear.
        """
        credentials = credentials or Credentials()
        self.address = address
        self._timeout = timeout
        self._retry = retry
        self._credentials = credentials
        self._channel = credentials.channel(address, calls.OPTIONS)
        self._stub: Any = omnimatte_pb2_grpc.OmnimatteStub(self._channel)  # type: ignore[no-untyped-call]

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._channel.close()

    def upload(
        self,
        source: Path | str | Iterable[bytes],
        *,
        filename: str = "",
        on_sent: Callable[[int], None] = lambda _: None,
    ) -> dict[str, str]:
        """Send a file, a folder of mask images, or the bytes that an iterable gives.

        A large file goes on where it was when the connection breaks, also when the program is started again.

        Args:
            source: what to send. A folder is packed into a tar, see orchestrator/masks.py.
            filename: what messages shall call it; default: the name of the file or folder.
            on_sent: called with the bytes sent so far.
        Returns:
            {"digest", "filename"}, as a job spec names a file.
        Raises:
            NotFound: there is no such file.
        """
        opened = open_source(source, filename)
        if opened.path is not None and opened.path.stat().st_size >= RESUMABLE_BYTES:
            return self._resumable(opened.path, opened.name, on_sent)
        failures = 0
        while True:
            try:
                return self._send_whole(opened, on_sent)
            except OmnimatteError as error:
                failures += 1
                pause = self._retry.pause(error, failures) if opened.again else None
                if pause is None:
                    raise
            time.sleep(pause)
            opened = open_source(source, filename)

    def _send_whole(self, source: Source, on_sent: Callable[[int], None]) -> dict[str, str]:
        return calls.file_of(self._stream(pb.UploadRequest(filename=source.name), source.pieces, 0, on_sent).file)

    def _resumable(self, path: Path, name: str, on_sent: Callable[[int], None]) -> dict[str, str]:
        start = calls.start_upload(name, path.stat().st_size, digest_of(path))
        session: pb.UploadSession = self._call(start)
        failures, before = 0, -1
        while not session.complete:
            offset = session.received_bytes
            # What arrived since counts as success: a long file on a bad line may break off often.
            failures, before = (0, offset) if offset > before else (failures, before)
            first = pb.UploadRequest(upload=session.name, offset=offset)
            try:
                return calls.file_of(self._stream(first, read_pieces(path, offset), offset, on_sent).file)
            except OmnimatteError as error:
                failures += 1
                pause = self._retry.pause(caught_up(error), failures)
                if pause is None:
                    raise
            time.sleep(pause)
            session = self._call(calls.get_upload(session.name))
        return {"digest": session.file.digest, "filename": name}

    def _stream(
        self, first: pb.UploadRequest, pieces: Iterable[bytes], sent: int, on_sent: Callable[[int], None]
    ) -> pb.UploadResponse:
        def requests() -> Iterator[pb.UploadRequest]:
            done = sent
            yield first
            for piece in pieces:
                yield pb.UploadRequest(chunk=piece)
                done += len(piece)
                on_sent(done)
            yield pb.UploadRequest(finish_write=True)

        guarded = Guarded(requests())
        call = self._stub.Upload.future(guarded, metadata=self._metadata)
        guarded.belongs_to(call)
        try:
            with self._errors():
                answer: pb.UploadResponse = call.result()
                return answer
        except grpc.FutureCancelledError as error:
            raise reading(guarded.problem or error, first.filename) from guarded.problem

    def create_job(self, spec: Mapping[str, Any], *, request_id: str = "") -> pb.Job:
        """Queue a job; `spec` as orchestrator/spec.py describes it. It is checked here already.

        request_id: the same text with the same spec answers with the job that was made first; default: a random text,
        so that a retry of this very call makes no second job.
        """
        job: pb.Job = self._call(calls.create(spec, request_id))
        return job

    def create_jobs(self, specs: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[pb.Job | OmnimatteError]:
        """Queue many jobs, each (request_id, spec); gives for each the job or why there is none, in their order."""
        for start in range(0, len(specs), calls.BATCH):
            yield from calls.outcomes(self._call(calls.batch(specs[start : start + calls.BATCH])))

    def estimate(self, spec: Mapping[str, Any]) -> pb.JobEstimate:
        """What the job would take. The first time for a source, this reads it."""
        estimate: pb.JobEstimate = self._call(calls.estimate(spec), patient=True)
        return estimate

    def preview_masks(self, spec: Mapping[str, Any], frame: int) -> dict[str, pb.MaskPreview]:
        """The masks that the prompts of the spec's objects give on one frame, by label."""
        answer: pb.PreviewMasksResponse = self._call(calls.preview(spec, frame), patient=True)
        return {mask.label: mask for mask in answer.masks}

    def get(self, name: str, *, fields: Sequence[str] = ()) -> pb.Job:
        """The job `name` ("jobs/{id}") as it is now, or only `fields` of it ("state", "result.files")."""
        job: pb.Job = self._call(calls.get(name, fields))
        return job

    def list(self, *, page_size: int = 0, states: Sequence[int] = (), fields: Sequence[str] = ()) -> Iterator[pb.Job]:
        """All jobs (in `states`), newest first, fetched page by page."""
        token = ""
        while True:
            page: pb.ListJobsResponse = self._call(calls.page(page_size, token, states, fields))
            yield from page.jobs
            token = page.next_page_token
            if not token:
                return

    def watch(self, name: str, *, after: int = 0, patience: float = 10.0) -> Iterator[pb.JobEvent]:
        """The job's events after sequence number `after`, past and future, until it ends.

        A lost connection is taken up again where it was, for up to `patience` seconds without an event.
        """
        heard = time.monotonic()
        while True:
            try:
                with self._errors():
                    for event in received(self._stub.WatchJob(calls.watch(name, after), metadata=self._metadata)):
                        after, heard = event.sequence, time.monotonic()
                        yield event
                return
            except OmnimatteError as error:
                if not error.retryable or time.monotonic() - heard > patience:
                    raise
                time.sleep(0.2)

    def cancel(self, name: str) -> pb.Job:
        """Ask the job to stop. Raises Conflict if it has ended."""
        job: pb.Job = self._call(calls.cancel(name))
        return job

    def delete(self, name: str) -> None:
        """Forget a job that has ended. Raises Conflict if it has not."""
        self._call(calls.delete(name))

    def sign_urls(self, name: str, *, paths: Sequence[str] = (), ttl: float = 0.0) -> dict[str, str]:
        """Addresses from which anybody can fetch the job's files (or those in `paths`) for `ttl` seconds."""
        answer: pb.SignUrlsResponse = self._call(calls.sign(name, paths, ttl))
        return {one.path: one.url for one in answer.urls}

    def download(
        self, name: str, out: Path, *, paths: Sequence[str] = (), on_received: Callable[[int], None] = lambda _: None
    ) -> None:
        """Write the job's files (or those in `paths`) to the folder `out`, which appears only when it is complete.

        Raises:
            BadOption: `out` is there and not empty. OutOfSpace: its disk is full. Internal: the server sent a path that
                leads out of the folder, or broke off.
        """
        with arriving(out) as partial, self._errors():
            arrivals = Arrivals(partial)
            request = pb.DownloadRequest(name=name, paths=paths)
            for piece in self._stub.Download(request, metadata=self._metadata):
                arrivals.put(piece)
                on_received(arrivals.received)
            arrivals.done()

    def compose(
        self, name: str, edit: str, out: Path, *, on_progress: Callable[[pb.StageProgress], None] = lambda _: None
    ) -> None:
        """Render an edit of the job's layers into the folder `out`, which appears only when it is complete.

        Args:
            edit: YAML or JSON text (docs/compose.md).
            on_progress: called as often as the server tells how far it is.
        Raises:
            BadInput, BadOption, NotFound: the edit cannot be made; BadOption: `out` is there and not empty.
        """
        with arriving(out) as partial, self._errors():
            arrivals = Arrivals(partial)
            request = pb.ComposeRequest(job=name, edit=edit)
            for step in self._stub.Compose(request, metadata=self._metadata):
                if step.WhichOneof("step") == "progress":
                    on_progress(step.progress)
                else:
                    arrivals.put(step.piece)
            arrivals.done()

    def _call(self, call: Call, *, patient: bool = False) -> Any:
        """patient: the server has work to do first."""
        method, failures = getattr(self._stub, call.method), 0
        while True:
            try:
                with calls.traced(call), self._errors():
                    timeout = None if patient else self._timeout
                    return method(call.request, timeout=timeout, metadata=self._metadata)
            except NotFound:
                if call.removes and failures:
                    return None
                raise
            except OmnimatteError as error:
                failures += 1
                pause = self._retry.pause(error, failures)
                if pause is None:
                    raise
            time.sleep(pause)

    @property
    def _metadata(self) -> calls.Metadata:
        return calls.metadata(self._credentials)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            raise from_rpc(error, address=self.address) from error
