"""The Python client of a running orchestrator: plain calls, typed messages, the errors of services/errors.py.

    with Client("127.0.0.1:8000") as client:
        video = client.upload(Path("clip.mp4"))
        mask = client.upload(Path("vase.mp4"))
        job = client.create_job({"source": video, "objects": [{"label": "vase", "mask": mask}]})
        for event in client.watch(job.name):
            print(event)
        client.download(job.name, Path("out"))

Must not know: how the server does it, terminals, or command lines.
"""

from __future__ import annotations

import errno
import queue
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import grpc
from opentelemetry.trace import SpanKind

from orchestrator import masks
from orchestrator.access.credentials import Credentials
from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.api import omnimatte_pb2_grpc
from orchestrator.api.specs import spec_to_message
from orchestrator.api.status import from_rpc, from_status
from orchestrator.spec import from_dict
from services.errors import BadInput, BadOption, Internal, NotFound, OmnimatteError, OutOfSpace, Unavailable
from services.observe import tracing

T = TypeVar("T")
_CHUNK = 1 << 20
_OPTIONS = (("grpc.max_receive_message_length", 64 << 20), ("grpc.keepalive_time_ms", 30_000))

FINAL_STATES = frozenset({pb.Job.SUCCEEDED, pb.Job.FAILED, pb.Job.CANCELLED})


class Client:
    """A connection to the orchestrator at `address` (HOST:PORT). A context manager; thread-safe.

    Every method raises the classes of services/errors.py: Unavailable when the server cannot be reached, and what the
    server answered otherwise.
    """

    def __init__(self, address: str, *, credentials: Credentials | None = None, timeout: float = 30.0) -> None:
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
        self._credentials = credentials
        self._channel = credentials.channel(address, _OPTIONS)
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

        Args:
            source: what to send. A folder is packed into a tar, see orchestrator/masks.py.
            filename: what messages shall call it; default: the name of the file or folder.
            on_sent: called with the bytes sent so far.
        Returns:
            {"digest", "filename"}, as a job spec names a file.
        Raises:
            NotFound: there is no such file.
        """
        pieces, name = _pieces(source)

        def requests() -> Iterator[pb.UploadRequest]:
            yield pb.UploadRequest(filename=filename or name)
            sent = 0
            for piece in pieces:
                yield pb.UploadRequest(chunk=piece)
                sent += len(piece)
                on_sent(sent)
            yield pb.UploadRequest(finish_write=True)

        guarded = _Guarded(requests())
        call = self._stub.Upload.future(guarded, metadata=self._metadata)
        guarded.belongs_to(call)
        try:
            with self._errors():
                answer: pb.UploadResponse = call.result()
        except grpc.FutureCancelledError as error:
            raise _reading(guarded.problem or error, filename or name) from guarded.problem
        return {"digest": answer.file.digest, "filename": answer.file.filename}

    def create_job(self, spec: Mapping[str, Any], *, request_id: str = "") -> pb.Job:
        """Queue a job; `spec` as orchestrator/spec.py describes it. It is checked here already.

        request_id: the same text with the same spec answers with the job that was made first; default: a random text,
        so that a retry of this very call makes no second job.
        """
        message = pb.Job(spec=spec_to_message(from_dict(spec)))
        request = pb.CreateJobRequest(job=message, request_id=request_id or uuid.uuid4().hex)
        job: pb.Job = self._call(self._stub.CreateJob, request)
        return job

    def get(self, name: str) -> pb.Job:
        """The job `name` ("jobs/{id}") as it is now."""
        job: pb.Job = self._call(self._stub.GetJob, pb.GetJobRequest(name=name))
        return job

    def list(self, *, page_size: int = 0) -> Iterator[pb.Job]:
        """All jobs, newest first, fetched page by page."""
        token = ""
        while True:
            request = pb.ListJobsRequest(page_size=page_size, page_token=token)
            page: pb.ListJobsResponse = self._call(self._stub.ListJobs, request)
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
                    request = pb.WatchJobRequest(name=name, after_sequence=after)
                    for event in _received(self._stub.WatchJob(request, metadata=self._metadata)):
                        after, heard = event.sequence, time.monotonic()
                        yield event
                return
            except Unavailable:
                if time.monotonic() - heard > patience:
                    raise
                time.sleep(0.2)

    def cancel(self, name: str) -> pb.Job:
        """Ask the job to stop. Raises Conflict if it has ended."""
        job: pb.Job = self._call(self._stub.CancelJob, pb.CancelJobRequest(name=name))
        return job

    def delete(self, name: str) -> None:
        """Forget a job that has ended. Raises Conflict if it has not."""
        self._call(self._stub.DeleteJob, pb.DeleteJobRequest(name=name))

    def download(
        self, name: str, out: Path, *, paths: Sequence[str] = (), on_received: Callable[[int], None] = lambda _: None
    ) -> None:
        """Write the job's files (or those in `paths`) to the folder `out`, which appears only when it is complete.

        Raises:
            BadOption: `out` is there and not empty. OutOfSpace: its disk is full. Internal: the server sent a path that
                leads out of the folder, or broke off.
        """
        require_empty(out)
        out = out.absolute()
        # A sibling is on the same disk, so the last step is one rename.
        partial = out.parent / f".{out.name}.{uuid.uuid4().hex[:8]}.partial"
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            partial.mkdir()
            with self._errors():
                request = pb.DownloadRequest(name=name, paths=paths)
                _write_files(self._stub.Download(request, metadata=self._metadata), partial, on_received)
            partial.rename(out)
        except OSError as error:
            raise _writing(error, out) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    @property
    def _metadata(self) -> tuple[tuple[str, str], ...]:
        """Of a call that is made now: who we are, and which trace it belongs to."""
        return (*self._credentials.metadata, *tracing.headers().items())

    def _call(self, method: Callable[..., T], request: object) -> T:
        name = type(request).__name__.removesuffix("Request")
        with self._errors(), tracing.span(f"omnimatte.v1.Omnimatte/{name}", kind=SpanKind.CLIENT):
            return method(request, timeout=self._timeout, metadata=self._metadata)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            raise from_rpc(error, address=self.address) from error


def _received(call: Any) -> Iterator[Any]:
    """The messages of `call`, which a thread of its own receives.

    A Ctrl-C that strikes gRPC's code in the main thread can leave one of its locks held for ever, and with it the
    channel dead on which the job is to be cancelled. Raises grpc.RpcError.
    """
    messages: queue.SimpleQueue[tuple[Any, grpc.RpcError | None]] = queue.SimpleQueue()

    def receive() -> None:
        try:
            for message in call:
                messages.put((message, None))
            messages.put((None, None))
        except grpc.RpcError as error:
            messages.put((None, error))

    threading.Thread(target=receive, name="watch", daemon=True).start()
    try:
        while True:
            message, error = messages.get()
            if error is not None:
                raise error
            if message is None:
                return
            yield message
    finally:
        call.cancel()


def error_of(job: pb.Job) -> OmnimatteError | None:
    """Why a FAILED job failed; None for another."""
    return from_status(job.error) if job.state == pb.Job.FAILED else None


def require_empty(out: Path) -> None:
    """Raises BadOption if `out` is a file, or a folder with something in it."""
    if out.is_dir() and not any(out.iterdir()):
        return
    if out.exists() or out.is_symlink():
        raise BadOption(
            f"the output folder {out} is there already and not empty; choose another, or add --force to replace it."
        )


def safe_path(folder: Path, path: str) -> Path:
    """Where the file that a server calls `path` belongs below `folder`. Raises Internal if that is outside."""
    parts = PurePosixPath(path).parts
    unsafe = not parts or path.startswith("/") or ".." in parts or "\\" in path or "\0" in path or ":" in parts[0]
    if unsafe:
        raise Internal(f"the server sent a file with the unsafe path {path!r}; nothing was written. Do not trust it.")
    return folder.joinpath(*parts)


def _write_files(pieces: Iterable[pb.DownloadResponse], folder: Path, on_received: Callable[[int], None]) -> None:
    received = 0
    sizes: dict[str, int] = {}
    expected: dict[str, int] = {}
    for piece in pieces:
        target = safe_path(folder, piece.path)
        if piece.offset != sizes.get(piece.path, 0) or (piece.offset == 0 and piece.path in sizes):
            raise Internal(f"the server sent {piece.path} out of order; nothing was written. Try again.")
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("ab") as file:
            file.write(piece.chunk)
        sizes[piece.path] = piece.offset + len(piece.chunk)
        expected[piece.path] = piece.size_bytes
        received += len(piece.chunk)
        on_received(received)
    if sizes != expected:
        raise Internal("the server broke off a file; nothing was written. Try again.")


class _Guarded(Iterator[pb.UploadRequest]):
    """The requests of one call. When they fail, the call is cancelled and the problem kept: gRPC would swallow it."""

    def __init__(self, inner: Iterator[pb.UploadRequest]) -> None:
        self._inner = inner
        self._call: Any = None
        self._begun = threading.Event()
        self.problem: Exception | None = None

    def belongs_to(self, call: Any) -> None:
        self._call = call
        self._begun.set()

    def __next__(self) -> pb.UploadRequest:
        try:
            return next(self._inner)
        except StopIteration:
            raise
        except Exception as error:
            self.problem = error
            self._begun.wait()
            self._call.cancel()
            raise StopIteration from error


def _pieces(source: Path | str | Iterable[bytes]) -> tuple[Iterable[bytes], str]:
    if not isinstance(source, Path | str):
        return source, ""
    path = Path(source)
    if path.is_dir():
        masks.images(path)
        return masks.packed(path), f"{path.name}.tar"
    if not path.is_file():
        raise NotFound(f"there is no file {path}; check the path.")
    if path.stat().st_size == 0:
        raise BadInput(f"{path} is empty; send a file with content.")
    return _file_pieces(path), path.name


def _file_pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            yield piece


def _reading(error: Exception, name: str) -> OmnimatteError:
    if isinstance(error, OmnimatteError):
        return error
    return BadInput(f"{name} cannot be read ({error}); check the file.")


def _writing(error: OSError, out: Path) -> OmnimatteError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutOfSpace(f"{out}: no space left on its disk; free some, then fetch the results again.")
    return BadOption(f"{out} cannot be written ({error.strerror}); choose another output folder.")
