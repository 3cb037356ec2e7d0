"""Takes one job through its life: from queued to succeeded, failed or cancelled.

This is what the durable queue calls, at least once per job. The job's row decides what there is to do: a job that has
ended is left alone, one that a dead process left RUNNING is run again from what its stages have put into the store.
Must not know: the API, or which engine calls it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from orchestrator.db import Database, Job, JobState
from orchestrator.execute import NodeEvent, Slots, execute
from orchestrator.journal import Bell, Writer
from orchestrator.keep import Keeper
from orchestrator.metrics import Metrics
from orchestrator.plan import Node, plan
from orchestrator.references import Role
from orchestrator.runners.base import Runner
from services.errors import Cancelled, NotFound, OmnimatteError, encode, from_exception
from services.stage import Result

_log = logging.getLogger(__name__)


class JobRunner:
    """Runs jobs in this process. Belongs to one event loop."""

    def __init__(
        self, *, database: Database, bell: Bell, runner: Runner, slots: Slots, metrics: Metrics, keeper: Keeper
    ) -> None:
        self._keeper = keeper
        self._database = database
        self._bell = bell
        self._runner = runner
        self._slots = slots
        self._metrics = metrics
        self._running: set[asyncio.Task[None]] = set()
        self._broken: OmnimatteError | None = None

    async def abort(self, error: OmnimatteError) -> None:
        """The stage servers are gone for good: running jobs end with `error`, and no other begins."""
        self._broken = error
        running = list(self._running)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    async def run(self, job: str) -> None:
        """Run the job to its end.

        Raises:
            asyncio.CancelledError: the job was cancelled, and its row says so; or this process is being stopped, and
                the row says RUNNING, for whoever takes the job up.
        """
        if self._broken is not None:
            # Nothing is recorded of this job yet: it waits for the next process.
            await asyncio.get_running_loop().create_future()
        try:
            record = await asyncio.to_thread(self._database.get, job)
        except NotFound:
            return
        if not await self.advance(job, JobState.RUNNING, JobState.QUEUED, JobState.RUNNING):
            await self.advance(job, JobState.CANCELLED, JobState.CANCELLING)
            return
        work = asyncio.create_task(self._work(record))
        self._running.add(work)
        try:
            await work
        finally:
            self._running.discard(work)

    async def advance(self, job: str, to: JobState, *among: JobState, error: str = "", result: str = "") -> bool:
        """`Database.advance`, and whoever wants to know is told."""
        moved = await asyncio.to_thread(self._database.advance, job, to, among=among, error=error, result=result)
        if moved:
            self._bell.ring(job)
            self._metrics.job_moved(job, to.value, final=to.final)
            _log.info("job %s is %s", job, to.value)
        return moved

    async def _work(self, job: Job) -> None:
        try:
            results = await self._execute(job)
        except asyncio.CancelledError:
            if self._broken is None:
                await self.advance(job.id, JobState.CANCELLED, JobState.CANCELLING)
                raise
            await self._end(job, self._broken)
        except Exception as error:
            if not isinstance(error, OmnimatteError):
                _log.exception("job %s", job.id)
            await self._end(job, from_exception(error, doing=f"job {job.id}"))
        else:
            # The plan's last node makes the deliverables.
            address = list(results.values())[-1].address
            if not await self.advance(job.id, JobState.SUCCEEDED, JobState.RUNNING, result=address):
                await self.advance(job.id, JobState.CANCELLED, JobState.CANCELLING)

    async def _execute(self, job: Job) -> Mapping[str, Result]:
        async with Writer(self._database, self._bell, job.id) as write:
            observe = self._metrics.observer()

            def on_event(event: NodeEvent) -> None:
                write(event)
                observe(event)

            nodes = plan(job.spec)
            deliverables = nodes[-1].id

            async def keep(node: Node, result: Result) -> bool:
                role = Role.DELIVERABLE if node.id == deliverables else Role.INTERMEDIATE
                return await self._keeper.keep(job.id, result.address, role=role)

            return await execute(nodes, self._runner, self._slots, on_event=on_event, keep=keep)

    async def _end(self, job: Job, error: OmnimatteError) -> None:
        if isinstance(error, Cancelled) and await self.advance(job.id, JobState.CANCELLED, JobState.CANCELLING):
            return
        await self.advance(job.id, JobState.FAILED, JobState.RUNNING, JobState.CANCELLING, error=encode(error))
