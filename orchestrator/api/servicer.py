"""The gRPC face of `orchestrator.jobs.Jobs`: converts, delegates, and answers errors in one way.

Must not know: anything that a test would want to check without a network.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import grpc
from google.protobuf import empty_pb2

from orchestrator.access.caller import current
from orchestrator.api import convert, omnimatte_pb2_grpc
from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.api.convert import job_id, upload_id
from orchestrator.api.masks import check_mask, masked, wants
from orchestrator.api.specs import spec_to_dict
from orchestrator.api.status import abort, to_status
from orchestrator.jobs import Jobs
from orchestrator.patience import away, unavailable
from orchestrator.records import Job
from orchestrator.uploads import Incoming, Uploads
from services.errors import BadInput, Cancelled, OmnimatteError, from_exception
from services.stage import Progress

_MAX_BATCH = 1000

_log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]
A = TypeVar("A")
B = TypeVar("B")

Unary = Callable[["Servicer", A, Context], Awaitable[B]]
Streaming = Callable[["Servicer", A, Context], AsyncIterator[B]]


def _answering(method: Unary[A, B]) -> Unary[A, B]:
    @functools.wraps(method)
    async def wrapped(self: Servicer, request: A, context: Context) -> B:
        try:
            return await method(self, request, context)
        except Exception as error:
            await _abort(context, error, method.__name__)
            raise

    return wrapped


def _streaming(method: Streaming[A, B]) -> Streaming[A, B]:
    @functools.wraps(method)
    async def wrapped(self: Servicer, request: A, context: Context) -> AsyncIterator[B]:
        try:
            async for answer in method(self, request, context):
                yield answer
        except Exception as error:
            await _abort(context, error, method.__name__)
            raise

    return wrapped


async def _abort(context: Context, error: Exception, call: str) -> None:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if away(error):
        await abort(context, unavailable())
    if not isinstance(error, OmnimatteError):
        _log.exception("%s failed", call)
    await abort(context, from_exception(error, doing=call))


class Servicer(omnimatte_pb2_grpc.OmnimatteServicer):
    """`omnimatte.v1.Omnimatte` over a `Jobs` and an `Uploads`."""

    def __init__(self, jobs: Jobs, uploads: Uploads) -> None:
        self._jobs = jobs
        self._uploads = uploads

    @_answering
    async def Upload(self, request: AsyncIterator[pb.UploadRequest], context: Context) -> pb.UploadResponse:
        requests = aiter(request)
        first = await anext(requests, None)
        if first is None:
            raise BadInput("the upload has no message; send its filename and its bytes.", field="chunk")

        async def chunks() -> AsyncIterator[bytes]:
            message: pb.UploadRequest | None = first
            while message is not None:
                yield message.chunk
                if message.finish_write:
                    return
                message = await anext(requests, None)
            # A client that dies looks like one that is done: only its word makes the difference.
            raise Cancelled("the upload ended before its last message (finish_write); send the file again.")

        incoming = Incoming(
            filename=first.filename,
            session=upload_id(first.upload) if first.upload else "",
            offset=first.offset,
            digest=first.digest,
        )
        file, size = await self._uploads.receive(incoming, chunks(), tenant=current().tenant)
        return pb.UploadResponse(file=pb.File(digest=file.digest, filename=file.filename), size_bytes=size)

    @_answering
    async def StartUpload(self, request: pb.StartUploadRequest, context: Context) -> pb.UploadSession:
        session = await self._uploads.start(
            filename=request.filename, size=request.size_bytes, digest=request.digest, tenant=current().tenant
        )
        return convert.session_to_message(session)

    @_answering
    async def GetUpload(self, request: pb.GetUploadRequest, context: Context) -> pb.UploadSession:
        session = await self._uploads.get(upload_id(request.name), tenant=current().tenant)
        return convert.session_to_message(session)

    @_answering
    async def DeleteUpload(self, request: pb.DeleteUploadRequest, context: Context) -> empty_pb2.Empty:
        await self._uploads.delete(upload_id(request.name), tenant=current().tenant)
        return empty_pb2.Empty()

    @_answering
    async def CreateJob(self, request: pb.CreateJobRequest, context: Context) -> pb.Job:
        spec = spec_to_dict(request.job.spec)
        return await self._message(
            await self._jobs.create(spec, tenant=current().tenant, request_id=request.request_id)
        )

    @_answering
    async def BatchCreateJobs(self, request: pb.BatchCreateJobsRequest, context: Context) -> pb.BatchCreateJobsResponse:
        if not 1 <= len(request.requests) <= _MAX_BATCH:
            raise BadInput(
                f"the batch has {len(request.requests)} requests; send 1 to {_MAX_BATCH} in a call.", field="requests"
            )
        answer = pb.BatchCreateJobsResponse()
        for one in request.requests:
            outcome = answer.outcomes.add()
            try:
                spec = spec_to_dict(one.job.spec)
                job = await self._jobs.create(spec, tenant=current().tenant, request_id=one.request_id)
                outcome.job.CopyFrom(convert.job_to_message(job))
            except OmnimatteError as error:
                outcome.error.CopyFrom(to_status(error))
        return answer

    @_answering
    async def EstimateJob(self, request: pb.EstimateJobRequest, context: Context) -> pb.JobEstimate:
        estimate = await self._jobs.estimate(spec_to_dict(request.job.spec), tenant=current().tenant)
        return convert.estimate_to_message(estimate)

    @_answering
    async def PreviewMasks(self, request: pb.PreviewMasksRequest, context: Context) -> pb.PreviewMasksResponse:
        spec = pb.JobSpec(objects=request.objects)
        # Only what is there: an absent source is an error, an empty one another.
        for name in ("source", "options"):
            if request.HasField(name):
                getattr(spec, name).CopyFrom(getattr(request, name))
        masks = await self._jobs.preview(spec_to_dict(spec), frame=request.frame, tenant=current().tenant)
        previews = [pb.MaskPreview(label=mask.label, png=mask.png, coverage=mask.coverage) for mask in masks]
        return pb.PreviewMasksResponse(masks=previews)

    @_answering
    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.Job:
        mask = request.read_mask
        check_mask(mask, pb.Job)
        job = await self._jobs.get(job_id(request.name), tenant=current().tenant)
        message = await self._message(job, result=wants(mask, "result"))
        if wants(mask, "waiting") and (reason := await self._jobs.waiting(job)) is not None:
            message.waiting.CopyFrom(pb.Waiting(reason=reason.name, message=reason.message, ahead=reason.ahead))
        if wants(mask, "progress"):
            told = await self._jobs.progress(job.id, tenant=job.tenant)
            message.progress.extend(convert.progress_to_message(event) for event in told)
        return masked(message, mask)

    @_answering
    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        check_mask(request.read_mask, pb.Job)
        jobs, token = await self._jobs.page(
            tenant=current().tenant,
            size=request.page_size,
            token=request.page_token,
            states=convert.states_of(request.states),
        )
        messages = [masked(convert.job_to_message(job), request.read_mask) for job in jobs]
        return pb.ListJobsResponse(jobs=messages, next_page_token=token)

    @_streaming
    async def WatchJob(self, request: pb.WatchJobRequest, context: Context) -> AsyncIterator[pb.JobEvent]:
        async for event, job in self._jobs.watch(
            job_id(request.name), tenant=current().tenant, after=request.after_sequence
        ):
            told = await self._message(job) if "job" in event.body else None
            yield convert.event_to_message(event, told)

    @_answering
    async def CancelJob(self, request: pb.CancelJobRequest, context: Context) -> pb.Job:
        return await self._message(await self._jobs.cancel(job_id(request.name), tenant=current().tenant))

    @_answering
    async def DeleteJob(self, request: pb.DeleteJobRequest, context: Context) -> empty_pb2.Empty:
        await self._jobs.delete(job_id(request.name), tenant=current().tenant)
        return empty_pb2.Empty()

    @_streaming
    async def Download(self, request: pb.DownloadRequest, context: Context) -> AsyncIterator[pb.DownloadResponse]:
        async for piece in self._jobs.files(job_id(request.name), request.paths, tenant=current().tenant):
            yield pb.DownloadResponse(path=piece.path, size_bytes=piece.size, offset=piece.offset, chunk=piece.data)

    @_streaming
    async def Compose(self, request: pb.ComposeRequest, context: Context) -> AsyncIterator[pb.ComposeResponse]:
        async for step in self._jobs.compose(job_id(request.job), request.edit, tenant=current().tenant):
            answer = pb.ComposeResponse()
            if isinstance(step, Progress):
                answer.progress.CopyFrom(convert.rendering_to_message(step))
            else:
                answer.piece.CopyFrom(
                    pb.DownloadResponse(path=step.path, size_bytes=step.size, offset=step.offset, chunk=step.data)
                )
            yield answer

    @_answering
    async def SignUrls(self, request: pb.SignUrlsRequest, context: Context) -> pb.SignUrlsResponse:
        ttl = request.ttl.ToNanoseconds() / 1e9
        signed = await self._jobs.sign(job_id(request.name), request.paths, ttl=ttl, tenant=current().tenant)
        answer = pb.SignUrlsResponse(urls=[pb.SignedUrl(path=path, url=url) for path, url in signed.addresses])
        answer.expire_time.CopyFrom(convert.timestamp(signed.expires))
        return answer

    async def _message(self, job: Job, *, result: bool = True) -> pb.Job:
        return convert.job_to_message(job, result=await self._jobs.result(job) if result else None)
