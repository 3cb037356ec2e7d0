"""Takes one attempt at a job from its beginning to an end: succeeded, failed, cancelled, or given back to the queue.

The job's row decides what there is to do. An attempt that somebody else has taken over, or a job that has ended, is
left alone; one that a dead process left is run again from what its stages have put into the store. Whatever is written
about the job names the attempt, so that a runner that was taken for dead can write nothing any more. Must not know: the
API, or which engine calls it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence

from orchestrator.db import Database
from orchestrator.estimate.estimator import Estimator
from orchestrator.execute import NodeEvent, PartlyFailed, execute
from orchestrator.journal import Bell, Journal
from orchestrator.keep import Keeper
from orchestrator.observe.attempt import ended, observed
from orchestrator.observe.metrics import Metrics
from orchestrator.partial import concerns, without
from orchestrator.patience import patiently
from orchestrator.plan import Node, plan
from orchestrator.records import Failure, Job, JobState
from orchestrator.references import Role
from orchestrator.runners.base import Runner
from orchestrator.scheduling.queue import Claim, Queue, too_late
from orchestrator.slots import UNLIMITED, Slots
from orchestrator.spec import JobSpec
from orchestrator.timing import Line
from services.errors import Cancelled, NotFound, OmnimatteError, encode, from_exception
from services.stage import Result

_log = logging.getLogger(__name__)

Whole = Callable[[Sequence[Node]], Runner]
"""A runner for all nodes of one plan, which are done together somewhere else."""


class JobRunner:
    """Runs jobs in this process. Belongs to one event loop."""

    def __init__(
        self,
        *,
        replica: str,
        database: Database,
        queue: Queue,
        bell: Bell,
        runner: Runner,
        slots: Slots,
        whole: Whole | None,
        metrics: Metrics,
        keeper: Keeper,
        estimator: Estimator,
    ) -> None:
        self._replica = replica
        self._database = database
        self._queue = queue
        self._bell = bell
        self._journal = Journal(database, bell)
        self._runner = runner
        self._slots = slots
        self._whole = whole
        self._metrics = metrics
        self._keeper = keeper
        self._estimator = estimator
        self._active: dict[str, asyncio.Task[None]] = {}
        self._told: set[str] = set()
        self._books: set[asyncio.Task[None]] = set()
        self._broken: OmnimatteError | None = None

    @property
    def broken(self) -> bool:
        """Whether no job can run here any more."""
        return self._broken is not None

    def cancel(self, job: str) -> None:
        """Stop the job if it runs here; its row says why. Said again, it changes nothing."""
        # A second cancellation would break off what the first one does to end the job in order.
        if job in self._active and job not in self._told:
            self._told.add(job)
            self._active[job].cancel()

    async def give_up(self) -> None:
        """Stop everything that runs here and give it back to the queue."""
        running = dict(self._active)
        for job in running:
            self.cancel(job)
        if running:
            await asyncio.wait(running.values())
        if self._books:
            await asyncio.wait(self._books)

    async def abort(self, error: OmnimatteError) -> None:
        """The stage servers are gone for good: running jobs end with `error`, and no other begins."""
        self._broken = error
        await self.give_up()

    async def run(self, job: str, attempt: int) -> None:
        """Run the attempt until the job has ended, or is the queue's again."""
        try:
            record = await patiently(self._database.get, job)
        except NotFound:
            return
        if (record.executor, record.attempt) != (self._replica, attempt) or record.state.final or job in self._active:
            return
        with observed(record, self._metrics.jobs):
            work = asyncio.create_task(self._work(record), name=job)
            self._active[job] = work
            try:
                await asyncio.wait([work])
            except asyncio.CancelledError:
                self.cancel(job)
                await asyncio.wait([work])
                raise
            finally:
                del self._active[job]
                self._told.discard(job)

    async def _work(self, job: Job) -> None:
        try:
            if job.state is JobState.CANCELLING or self._broken is not None:
                raise asyncio.CancelledError
            async with asyncio.timeout(job.deadline - time.time() if job.deadline else None):
                address, failures = await self._layers(job)
            await self._succeed(job, address, failures)
        except asyncio.CancelledError:
            await self._stopped(job)
        except TimeoutError:
            await self._fail(job, too_late("ran"))
        except Exception as error:
            if not isinstance(error, OmnimatteError):
                _log.exception("job %s", job.id)
            await self._fail(job, from_exception(error, doing=f"job {job.id}"))

    async def _layers(self, job: Job) -> tuple[str, list[Failure]]:
        """The address of the deliverables, and what is missing in them."""
        spec, failures = job.spec, list[Failure]()
        while True:
            try:
                return await self._execute(job, spec), failures
            except PartlyFailed as partly:
                spec, lost = without(spec, partly.failures)
                failures += lost

    async def _execute(self, job: Job, spec: JobSpec) -> str:
        task = asyncio.current_task()
        assert task is not None
        nodes = plan(spec)
        runner, slots = self._hands(job, nodes)
        deliverables = nodes[-1].id
        made: dict[str, str] = {}
        async with self._journal.writer(job.id, attempt=job.attempt, on_lost=task.cancel) as write:
            observe = self._metrics.observer()

            def on_event(event: NodeEvent) -> None:
                write(event)
                observe(event)

            async def keep(node: Node, result: Result) -> bool:
                role = Role.DELIVERABLE if node.id == deliverables else Role.INTERMEDIATE
                kept = await self._keeper.keep(job.id, result.address, role=role)
                if kept:
                    made[node.id] = result.address
                return kept

            try:
                results = await execute(
                    nodes,
                    runner,
                    slots,
                    on_event=on_event,
                    keep=keep,
                    spared=(lambda node, error: concerns(spec, node, error)) if job.spec.allow_partial else None,
                )
            finally:
                # Beside the job's way, for the quota and for estimates: who is stopped need not wait for it.
                self._books.add(book := asyncio.create_task(self._book(spec, made)))
                book.add_done_callback(self._books.discard)
        return results[deliverables].address

    def _hands(self, job: Job, nodes: Sequence[Node]) -> tuple[Runner, Slots]:
        """Who runs the job's stages, and how many at once."""
        if self._whole is None or job.spec.scheduling.line is not Line.BATCH:
            return self._runner, self._slots
        # A worker of its own does them one after the other: nobody else's places are taken.
        return self._whole(nodes), Slots(total=UNLIMITED, places=lambda stage: UNLIMITED)

    async def _book(self, spec: JobSpec, made: Mapping[str, str]) -> None:
        try:
            await asyncio.to_thread(self._keeper.weigh, list(made.values()))
            await asyncio.to_thread(self._estimator.record, spec, dict(made))
        except Exception:
            _log.warning("what a job's stages took could not be noted", exc_info=True)

    async def _succeed(self, job: Job, address: str, failures: Sequence[Failure]) -> None:
        among = (JobState.RUNNING, JobState.CANCELLING)
        # Somebody who asked to stop it too late has it all the same.
        await self._advance(job, JobState.SUCCEEDED, *among, result=address, failures=failures)

    async def _stopped(self, job: Job) -> None:
        """It was cancelled: by its owner, because the stage servers are gone, or because we stop."""
        if await self._advance(job, JobState.CANCELLED, JobState.CANCELLING):
            return
        if self._broken is not None:
            await self._fail(job, self._broken)
        elif await patiently(self._queue.hand_back, Claim(job.id, job.attempt)):
            self._bell.ring(job.id)
            self._metrics.jobs.handed_back()
            _log.info("job %s waits again", job.id)

    async def _fail(self, job: Job, error: OmnimatteError) -> None:
        if isinstance(error, Cancelled) and await self._advance(job, JobState.CANCELLED, JobState.CANCELLING):
            return
        await self._advance(job, JobState.FAILED, JobState.RUNNING, JobState.CANCELLING, error=encode(error))

    async def _advance(
        self,
        job: Job,
        to: JobState,
        *among: JobState,
        error: str = "",
        result: str = "",
        failures: Sequence[Failure] = (),
    ) -> bool:
        """`Database.advance`, and whoever wants to know is told."""
        moved = await patiently(
            self._database.advance,
            job.id,
            to,
            among=among,
            attempt=job.attempt,
            error=error,
            result=result,
            failures=failures,
        )
        if moved:
            self._bell.ring(job.id)
            ended(job, to, self._metrics.jobs, error=error)
            _log.info("job %s is %s", job.id, to.value)
        return moved
