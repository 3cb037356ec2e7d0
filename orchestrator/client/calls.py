"""What every call of the API sends: the part that the blocking and the asyncio client share.

Every call may be sent twice. Those that make something carry what tells the second from a new wish: a job its request
id, an upload its digest; what was deleted already is as deleted as it should be.
Must not know: how calls are sent.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from opentelemetry.trace import Span, SpanKind

from orchestrator.access.credentials import Credentials
from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.api.specs import spec_to_message
from orchestrator.api.status import from_status
from orchestrator.spec import from_dict
from services.errors import OmnimatteError
from services.observe import tracing

FINAL_STATES = frozenset({pb.Job.SUCCEEDED, pb.Job.FAILED, pb.Job.CANCELLED})
OPTIONS = (
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.keepalive_time_ms", 30_000),
    # A channel refuses calls while it waits to connect anew: no longer than a retry waits.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)
BATCH = 200
"""Jobs that one call of BatchCreateJobs carries: a message of some hundred kilobytes."""


@dataclass(frozen=True)
class Call:
    """One call with one answer.

    Attributes:
        method: of the service.
        request: its message.
        removes: whether NOT_FOUND, on a second sending, says that the first one did it.
    """

    method: str
    request: Any
    removes: bool = False


Metadata = tuple[tuple[str, str], ...]


def metadata(credentials: Credentials) -> Metadata:
    """Of a call that is made now: who we are, and which trace it belongs to."""
    return (*credentials.metadata, *tracing.headers().items())


def traced(call: Call) -> AbstractContextManager[Span]:
    """Around one sending of a call: its span, where traces are sent."""
    return tracing.span(f"omnimatte.v1.Omnimatte/{call.method}", kind=SpanKind.CLIENT)


def create(spec: Mapping[str, Any], request_id: str) -> Call:
    return Call("CreateJob", _request(spec, request_id))


def batch(specs: Iterable[tuple[str, Mapping[str, Any]]]) -> Call:
    return Call(
        "BatchCreateJobs",
        pb.BatchCreateJobsRequest(requests=[_request(spec, request_id) for request_id, spec in specs]),
    )


def _request(spec: Mapping[str, Any], request_id: str) -> pb.CreateJobRequest:
    message = pb.Job(spec=spec_to_message(from_dict(spec)))
    return pb.CreateJobRequest(job=message, request_id=request_id or uuid.uuid4().hex)


def outcomes(answer: pb.BatchCreateJobsResponse) -> list[pb.Job | OmnimatteError]:
    """What became of each request of a batch."""
    return [
        from_status(outcome.error) if outcome.WhichOneof("outcome") == "error" else outcome.job
        for outcome in answer.outcomes
    ]


def estimate(spec: Mapping[str, Any]) -> Call:
    return Call("EstimateJob", pb.EstimateJobRequest(job=pb.Job(spec=spec_to_message(from_dict(spec)))))


def preview(spec: Mapping[str, Any], frame: int) -> Call:
    message = spec_to_message(from_dict(spec))
    request = pb.PreviewMasksRequest(source=message.source, objects=message.objects, options=message.options)
    request.frame = frame
    return Call("PreviewMasks", request)


def get(name: str, fields: Sequence[str]) -> Call:
    return Call("GetJob", pb.GetJobRequest(name=name, read_mask=_mask(fields)))


def page(size: int, token: str, states: Sequence[int], fields: Sequence[str]) -> Call:
    request = pb.ListJobsRequest(page_size=size, page_token=token, read_mask=_mask(fields))
    request.states.extend(states)  # type: ignore[arg-type]
    return Call("ListJobs", request)


def _mask(fields: Sequence[str]) -> FieldMask | None:
    return FieldMask(paths=list(fields)) if fields else None


def cancel(name: str) -> Call:
    return Call("CancelJob", pb.CancelJobRequest(name=name))


def delete(name: str) -> Call:
    return Call("DeleteJob", pb.DeleteJobRequest(name=name), removes=True)


def sign(name: str, paths: Sequence[str], ttl: float) -> Call:
    request = pb.SignUrlsRequest(name=name, paths=paths)
    if ttl:
        request.ttl.FromNanoseconds(round(ttl * 1e9))
    return Call("SignUrls", request)


def start_upload(filename: str, size: int, digest: str) -> Call:
    return Call("StartUpload", pb.StartUploadRequest(filename=filename, size_bytes=size, digest=digest))


def get_upload(name: str) -> Call:
    return Call("GetUpload", pb.GetUploadRequest(name=name))


def watch(name: str, after: int) -> pb.WatchJobRequest:
    return pb.WatchJobRequest(name=name, after_sequence=after)


def file_of(file: pb.File) -> dict[str, str]:
    """A file as a job spec names it."""
    return {"digest": file.digest, "filename": file.filename}


def error_of(job: pb.Job) -> OmnimatteError | None:
    """Why a FAILED job failed; None for another."""
    return from_status(job.error) if job.state == pb.Job.FAILED else None
