"""What the API can do with jobs, without the API: their lives, their events and their files.

A servicer only converts and delegates to this. Must not know: gRPC, protobuf, or how jobs are run.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import math
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from orchestrator.compose import Editor
from orchestrator.db import Database
from orchestrator.estimate.estimator import Estimate, Estimator
from orchestrator.journal import Bell, follow
from orchestrator.keep import Keeper
from orchestrator.preview import MaskPreview, Reader, preview
from orchestrator.records import Event, Job, JobState
from orchestrator.scheduling.policy import Policies, Reason, why
from orchestrator.scheduling.queue import Queue
from orchestrator.signing import Signer
from orchestrator.spec import File, JobSpec, settled, uploads
from orchestrator.streams import pulled
from orchestrator.uploads import require_upload
from services.artifacts import Artifact, Store
from services.errors import BadInput, BadOption, Busy, Conflict, NotFound
from services.observe.tracing import traceparent
from services.stage import Progress

_DEFAULT_PAGE, _MAX_PAGE = 50, 200
_MAX_REQUEST_ID = 128
_RETRY_SECONDS = 15.0


class Dispatch(Protocol):
    """What runs jobs here; see orchestrator/scheduling/scheduler.py."""

    def ring(self) -> None: ...
    def cancel(self, job: str) -> None: ...


@dataclass(frozen=True)
class Piece:
    """A piece of a result file: `data` is at `offset` in the file `path` of `size` bytes."""

    path: str
    size: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class Signed:
    """addresses: file -> where anybody can fetch it until `expires` (seconds since the epoch)."""

    addresses: tuple[tuple[str, str], ...]
    expires: float


class Jobs:
    """The service. Its methods raise the classes of services/errors.py."""

    def __init__(
        self,
        *,
        database: Database,
        bell: Bell,
        store: Store,
        keeper: Keeper,
        queue: Queue,
        policies: Policies,
        dispatch: Dispatch,
        reader: Reader,
        estimator: Estimator,
        editor: Editor,
        signer: Signer,
        profile: str,
    ) -> None:
        self._database = database
        self._bell = bell
        self._store = store
        self._keeper = keeper
        self._queue = queue
        self._policies = policies
        self._dispatch = dispatch
        self._reader = reader
        self._estimator = estimator
        self._signer = signer
        self._editor = editor
        self._profile = profile

    async def create(self, spec: Mapping[str, Any], *, tenant: str, request_id: str = "") -> Job:
        """Check a job and queue it; the same `request_id` with the same spec answers with the first one's job.

        Raises:
            BadInput, NotFound (an upload is not there), AlreadyExists (request_id was used for another spec),
            OutOfSpace (the store has reached its limit), Busy (too many of the tenant's jobs wait).
        """
        if len(request_id) > _MAX_REQUEST_ID:
            raise BadInput(f"request_id is longer than {_MAX_REQUEST_ID} characters; shorten it.", field="request_id")
        checked = await self._checked(spec, tenant=tenant)
        await asyncio.to_thread(self._keeper.require_room)
        await self._require_turn(tenant)
        within = self._keeper.uploads(file.digest for _, file in uploads(checked))
        job, created = await asyncio.to_thread(
            self._database.create, checked, tenant=tenant, request_id=request_id, within=within, trace=traceparent()
        )
        if created:
            await self._still_there(job, tenant=tenant)
        if created:
            self._dispatch.ring()
        return job

    async def _checked(self, spec: Mapping[str, Any], *, tenant: str) -> JobSpec:
        """The spec, with a profile. Raises BadInput, and NotFound for an upload that is not the tenant's."""
        checked = settled(spec, profile=self._profile)
        for path, file in uploads(checked):
            await self._require_upload(path, file, tenant=tenant)
        return checked

    async def estimate(self, spec: Mapping[str, Any], *, tenant: str) -> Estimate:
        """What the job would take, if it were created now. Raises what `create` raises, and what reading it does."""
        checked = await self._checked(spec, tenant=tenant)
        clip = await self._reader.clip(checked)
        estimate = await asyncio.to_thread(self._estimator.estimate, checked, clip)
        ahead = await asyncio.to_thread(self._queue.ahead, tenant, checked.scheduling)
        return replace(estimate, ahead=ahead)

    async def preview(self, spec: Mapping[str, Any], *, frame: int, tenant: str) -> list[MaskPreview]:
        """The masks that the prompts of the spec's objects give on one frame. Raises as `create`, and BadPrompt."""
        return await preview(await self._checked(spec, tenant=tenant), frame, reader=self._reader)

    async def compose(self, job: str, edit: str, *, tenant: str) -> AsyncIterator[Progress | Piece]:
        """Render an edit of the job's layers: how far it is, again and again, and then the result's files.

        Raises:
            Conflict, NotFound: as `files`, for the job and for those that layers are taken from.
            BadInput, BadOption: the edit cannot be made; OutOfSpace: the store has reached its limit.
        """

        async def delivered(name: str) -> Artifact:
            return await self._deliverables(name.removeprefix("jobs/"), (), tenant=tenant)

        async def upload(digest: str) -> str:
            await self._require_upload("edit.background", File(digest), tenant=tenant)
            return digest

        layers = await self._deliverables(job, (), tenant=tenant)
        editing = await self._editor.prepared(edit, layers=layers, delivered=delivered, upload=upload)
        await asyncio.to_thread(self._keeper.require_room)
        async for step in self._editor.render(editing):
            if isinstance(step, Progress):
                yield step
                continue
            for path in sorted(step.manifest.files):
                async for piece in _pieces(step, path):
                    yield piece

    async def waiting(self, job: Job) -> Reason | None:
        """Why the job does not run yet; None for one that does not wait."""
        if job.state is not JobState.QUEUED:
            return None
        standing = await asyncio.to_thread(self._queue.standing, job.id)
        return why(standing, self._policies.of(job.tenant)) if standing is not None else None

    async def _require_turn(self, tenant: str) -> None:
        # Requests at the same moment may overshoot by their number: the limit protects the queue, it sells nothing.
        limit = self._policies.of(tenant).pending
        waiting = await asyncio.to_thread(self._queue.pending, tenant)
        if waiting >= limit:
            raise Busy(
                f"{waiting} jobs of tenant {tenant} wait, and {limit} may; send the request again later.",
                retry_after=_RETRY_SECONDS,
            )

    async def _still_there(self, job: Job, *, tenant: str) -> None:
        """The uploads of a job that has just been recorded; from now on they stay."""
        try:
            for path, file in uploads(job.spec):
                await self._require_upload(path, file, tenant=tenant)
        except NotFound:
            await asyncio.to_thread(self._database.delete, job.id)
            raise

    async def _require_upload(self, path: str, file: File, *, tenant: str) -> None:
        await require_upload(path, file, database=self._database, store=self._store, tenant=tenant)

    async def get(self, job: str, *, tenant: str) -> Job:
        """Raises NotFound, also for a job of another tenant; so does every method here that takes a job."""
        return await asyncio.to_thread(self._database.owned, job, tenant=tenant)

    async def page(
        self, *, tenant: str, size: int = 0, token: str = "", states: Collection[JobState] = ()
    ) -> tuple[list[Job], str]:
        """A page of the tenant's jobs (those in `states`; none means all), newest first, and the token of the next one
        ("" if there is none)."""
        if size < 0:
            raise BadOption(f"page_size is {size}; give 0 (for {_DEFAULT_PAGE}) or more.", field="page_size")
        size = min(size or _DEFAULT_PAGE, _MAX_PAGE)
        before = _token_id(token)
        jobs = await asyncio.to_thread(self._database.page, tenant=tenant, size=size + 1, before=before, states=states)
        more = len(jobs) > size
        return jobs[:size], _token(jobs[size - 1].id) if more else ""

    async def progress(self, job: str, *, tenant: str) -> list[Event]:
        """The newest event of each of the job's stage runs, in the order in which the runs were first heard of."""
        newest: dict[str, Event] = {}
        for event in await asyncio.to_thread(self._database.events, job, tenant=tenant, after=0):
            if "node" in event.body:
                newest[event.body["node"]["node"]] = event
        return list(newest.values())

    async def watch(self, job: str, *, tenant: str, after: int = 0) -> AsyncIterator[tuple[Event, Job]]:
        """The job's events after sequence number `after` until it ends, each with the job as it was then."""
        record = replace(await self.get(job, tenant=tenant), state=JobState.QUEUED, error="", result="")
        async for event in follow(self._database, self._bell, job, tenant=tenant, after=after):
            if "job" in event.body:
                record = _at(await self.get(job, tenant=tenant), event)
            yield event, record

    async def cancel(self, job: str, *, tenant: str) -> Job:
        """Ask the job to stop. Raises Conflict if it has ended."""
        await self.get(job, tenant=tenant)
        for to, among in ((JobState.CANCELLED, JobState.QUEUED), (JobState.CANCELLING, JobState.RUNNING)):
            if await asyncio.to_thread(self._database.advance, job, to, among=[among]):
                self._bell.ring(job)
                self._dispatch.cancel(job)
                break
        record = await self.get(job, tenant=tenant)
        if record.state.final and record.state is not JobState.CANCELLED:
            raise Conflict(f"job {job} has {record.state.value} already; there is nothing to cancel.", field="name")
        return record

    async def delete(self, job: str, *, tenant: str) -> None:
        """Forget a job that has ended, and its deliverables unless another job needs the same. Raises Conflict."""
        record = await self.get(job, tenant=tenant)
        if not record.state.final:
            raise Conflict(f"job {job} is {record.state.value}; cancel it, then delete it.", field="name")
        await asyncio.to_thread(self._database.delete, job)
        if record.result:
            await asyncio.to_thread(self._keeper.discard, record.result, unused_since=math.inf)

    async def result(self, job: Job) -> Artifact | None:
        """The deliverables of a succeeded job; None for another, and when they were not kept any longer."""
        return await asyncio.to_thread(self._store.find, job.result) if job.result else None

    async def files(self, job: str, paths: Sequence[str] = (), *, tenant: str) -> AsyncIterator[Piece]:
        """The job's files, or those of them that `paths` names, piece by piece.

        Raises:
            Conflict: the job has not succeeded; NotFound: it has no such file, or its files are not kept any longer.
        """
        artifact = await self._deliverables(job, paths, tenant=tenant)
        for path in paths or sorted(artifact.manifest.files):
            async for piece in _pieces(artifact, path):
                yield piece

    async def sign(self, job: str, paths: Sequence[str] = (), *, ttl: float, tenant: str) -> Signed:
        """Addresses of the job's files, or of those in `paths`. Raises as `files`, and BadOption for the ttl."""
        seconds = self._signer.ttl(ttl)
        artifact = await self._deliverables(job, paths, tenant=tenant)
        end = time.time() + seconds
        chosen = paths or sorted(artifact.manifest.files)
        return Signed(tuple((path, self._signer.sign(job, artifact, path, ttl=seconds)) for path in chosen), end)

    async def _deliverables(self, job: str, paths: Sequence[str], *, tenant: str) -> Artifact:
        record = await self.get(job, tenant=tenant)
        artifact = await self.result(record)
        if artifact is None and record.result:
            raise NotFound(f"the files of job {job} are not kept any longer; create the job again.", field="name")
        if artifact is None:
            raise Conflict(f"job {job} is {record.state.value}; only a job that has succeeded has files.", field="name")
        for path in paths:
            if path not in artifact.manifest.files:
                raise NotFound(f"job {job} has no file {path!r}; GetJob lists its files.", field="paths")
        return artifact

    async def abandon(self) -> None:
        """End as cancelled what an earlier process left unfinished. Call it before the queue runs."""
        among = [state for state in JobState if not state.final]
        for job in await asyncio.to_thread(self._database.unfinished):
            await asyncio.to_thread(self._database.advance, job.id, JobState.CANCELLED, among=among)


async def _pieces(artifact: Artifact, path: str) -> AsyncIterator[Piece]:
    size, offset = artifact.manifest.files[path], 0
    async for data in pulled(artifact.chunks(path)):
        yield Piece(path, size, offset, data)
        offset += len(data)
    if size == 0:
        yield Piece(path, 0, 0, b"")


def _at(job: Job, event: Event) -> Job:
    """The job as it was when `event` told of its state."""
    told = event.body["job"]
    state = JobState(told["state"])
    started = job.started if state is not JobState.QUEUED else 0.0
    return replace(
        job,
        state=state,
        error=told.get("error", ""),
        result=told.get("result", ""),
        started=started,
        ended=event.time if state.final else 0.0,
        sequence=event.sequence,
    )


def _token(job: str) -> str:
    return base64.urlsafe_b64encode(job.encode()).decode().rstrip("=")


def _token_id(token: str) -> str:
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError) as error:
        raise BadOption(
            "page_token is not one that this server gave; leave it empty to begin at the first page.",
            field="page_token",
        ) from error
