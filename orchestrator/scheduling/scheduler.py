"""One replica's part in the queue: it takes jobs as long as it has places, says that it is there, and looks for those
who are not.

    queue (database) -> Scheduler.claim -> Workflows.begin -> JobRunner.run

Must not know: what a job does, or the API.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from orchestrator.patience import patiently
from orchestrator.scheduling.pace import Pace
from orchestrator.scheduling.queue import Claim, Lost, Queue
from orchestrator.scheduling.replicas import Replicas, Sweep

_log = logging.getLogger(__name__)

_TIDY_SECONDS = 60.0


class Attempts(Protocol):
    """What runs attempts durably; see orchestrator/workflow.py."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def begin(self, job: str, attempt: int) -> None: ...
    async def known(self, job: str, attempt: int) -> bool: ...
    async def tidy(self) -> None: ...


class Running(Protocol):
    """What runs an attempt in this process; see orchestrator/run.py."""

    @property
    def broken(self) -> bool: ...
    def cancel(self, job: str) -> None: ...
    async def give_up(self) -> None: ...
    async def run(self, job: str, attempt: int) -> None: ...


class Scheduler:
    """Runs the jobs of one replica. Belongs to one event loop."""

    def __init__(
        self,
        *,
        replica: str,
        places: int,
        queue: Queue,
        replicas: Replicas,
        attempts: Callable[[Callable[[str, int], Awaitable[None]]], Attempts],
        runner: Running,
        pace: Pace,
        on_sweep: Callable[[Sweep], None] = lambda _: None,
    ) -> None:
        """`attempts(run)` makes what calls `run` durably."""
        self._replica, self._places, self._pace = replica, places, pace
        self._queue, self._replicas, self._runner = queue, replicas, runner
        self._attempts = attempts(self._run)
        self._on_sweep = on_sweep
        self._incarnation = ""
        self._news = asyncio.Event()
        self._taken: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Take up what an earlier process of this name has left, then take jobs."""
        self._incarnation = await patiently(self._replicas.register, self._replica, places=self._places)
        await self._attempts.start()
        await self._take_up()
        await self._attempts.tidy()
        self._tasks = [asyncio.create_task(self._looking()), asyncio.create_task(self._beating())]

    async def stop(self) -> None:
        """Take no more jobs, give back those that run, and leave."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._runner.give_up()
        await self._attempts.stop()
        # Without the database nobody hears it; then our silence says it.
        with contextlib.suppress(Exception):
            await asyncio.to_thread(self._replicas.leave, self._replica, self._incarnation)

    def ring(self) -> None:
        """There is a new job, or a free place."""
        self._news.set()

    def cancel(self, job: str) -> None:
        """Somebody wants the job to stop, and its row says so. If another replica runs it, that one looks soon."""
        self._runner.cancel(job)

    async def _run(self, job: str, attempt: int) -> None:
        """What the engine calls: for what we began, and for what a predecessor did."""
        self._taken.add(job)
        try:
            await self._runner.run(job, attempt)
        finally:
            self._taken.discard(job)
            self.ring()

    async def _begin(self, claim: Claim) -> None:
        self._taken.add(claim.job)
        try:
            await self._attempts.begin(claim.job, claim.attempt)
        except BaseException:
            self._taken.discard(claim.job)
            raise

    async def _take_up(self) -> None:
        """See that each job of ours has an attempt: a predecessor may have died before it began one."""
        for claim in await patiently(self._queue.mine, self._replica):
            if claim.job not in self._taken and not await self._attempts.known(claim.job, claim.attempt):
                # A new attempt, since the engine may think that this one is over.
                await patiently(self._queue.hand_back, claim)

    async def _looking(self) -> None:
        tidied = time.monotonic()
        while True:
            try:
                await self._look()
                if time.monotonic() - tidied > _TIDY_SECONDS:
                    tidied = time.monotonic()
                    await self._attempts.tidy()
                    await self._take_up()
            except Lost:
                await self._return()
            except Exception:
                # Whatever it was, jobs must go on; the next look may succeed.
                _log.exception("the queue could not be looked at")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), self._pace.look)
            self._news.clear()

    async def _look(self) -> None:
        for job in await patiently(self._queue.cancelling, self._replica):
            self._runner.cancel(job)
        await patiently(self._queue.expire)
        free = self._places - len(self._taken)
        if free <= 0 or self._runner.broken:
            return
        for claim in await patiently(self._queue.claim, self._replica, self._incarnation, places=free):
            await self._begin(claim)

    async def _beating(self) -> None:
        while True:
            await asyncio.sleep(self._pace.beat)
            try:
                await patiently(self._replicas.beat, self._replica, self._incarnation)
                sweep = await patiently(self._replicas.sweep)
            except Lost:
                await self._return()
            except Exception:
                _log.exception("no sign of life could be given")
            else:
                if sweep is not None:
                    self._swept(sweep)

    def _swept(self, sweep: Sweep) -> None:
        self._on_sweep(sweep)
        if sweep.silent or sweep.jobs:
            _log.warning("silent: %s; jobs that wait again: %s", sweep.silent, sweep.jobs)
            self.ring()

    async def _return(self) -> None:
        """We were taken for dead: our jobs are others' now, so stop them here, and come back."""
        _log.warning("replica %s was taken for dead; it stops its jobs and begins anew", self._replica)
        await self._runner.give_up()
        self._incarnation = await patiently(self._replicas.register, self._replica, places=self._places)
