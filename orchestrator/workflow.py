"""The one module that knows DBOS, the engine that makes jobs survive the process that runs them.

A job is a workflow on a durable queue, and its body is *one* step that runs the whole plan (`orchestrator/execute.py`).
One step is enough because correctness does not rest on the engine: each stage's output is in the artifact store under
the address of its request, so running a plan a second time walks over finished stages in milliseconds and goes on with
the first unfinished one. What the engine adds is only that somebody does run it a second time: a workflow of a process
that died is PENDING, and the next process with the same executor id and workflow version takes it up. A step per stage
would record the same facts twice, and its recovery would have to agree with the store's.

Whether a job may run at all is decided by its row in our own table, never by the engine's: `run_job` is called at least
once and must return at once for a job that has ended.

Must not know: what a job does, the API, or the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

_QUEUE = "jobs"
_NAME = "job"

# Raised by hand when a recorded workflow could not be continued by the code as it is now.
WORKFLOW_VERSION = "1"


@dataclass(frozen=True)
class WorkflowSettings:
    """How jobs are run durably.

    Attributes:
        database_url: where the engine keeps its tables, SQLAlchemy style.
        executor_id: this replica's name; after a crash the next process of this name takes up its jobs. Two live
            processes must not share one.
        running_jobs: how many jobs this replica runs at once.
        poll_seconds: how often the queue is looked at.
    """

    database_url: str
    executor_id: str
    running_jobs: int = 1
    poll_seconds: float = 0.2


class Workflows:
    """The durable queue of jobs. One per process, because the engine is; belongs to the event loop that starts it."""

    def __init__(self, settings: WorkflowSettings, run_job: Callable[[str], Awaitable[None]]) -> None:
        """`run_job(id)` runs a job to its end; it is cancelled with `cancel(id)` and with `stop()`."""
        self._settings = settings
        self._run_job = run_job
        self._workflow: Callable[[str], Any] | None = None
        self._workflows: set[asyncio.Task[Any]] = set()
        self._steps: set[asyncio.Task[Any]] = set()
        self._stopping = False
        # Recovered jobs come through a queue of the engine's own, which has no limit.
        self._slots = asyncio.Semaphore(settings.running_jobs)

    async def start(self) -> None:
        """Begin to run jobs, those first that a dead process of the same executor id has left."""
        from dbos import DBOS, DBOSPortableJSONSerializer

        DBOS(
            config={
                "name": "omnimatte",
                "system_database_url": self._settings.database_url,
                "application_version": WORKFLOW_VERSION,
                "executor_id": self._settings.executor_id,
                "serializer": DBOSPortableJSONSerializer(),
                "enable_otlp": False,
                "log_level": "ERROR",
            }
        )
        logging.getLogger("dbos").addFilter(_expected)

        @DBOS.step(name="run", preemptible=True)
        async def step(job: str) -> None:
            await self._step(job)

        @DBOS.workflow(name=_NAME)
        async def workflow(job: str) -> None:
            workflow_task = asyncio.current_task()
            assert workflow_task is not None
            # Until the engine is done with it, which is a little after its body is.
            self._workflows.add(workflow_task)
            workflow_task.add_done_callback(self._workflows.discard)
            await step(job)

        self._workflow = workflow
        # Blocks for a moment, and must: the engine adopts the event loop that it is launched in.
        DBOS.launch()
        await DBOS.register_queue_async(
            _QUEUE,
            worker_concurrency=self._settings.running_jobs,
            polling_interval_sec=self._settings.poll_seconds,
            on_conflict="always_update",
        )

    async def stop(self) -> None:
        """Stop running jobs; those under way stay recorded as such and are taken up by the next start."""
        from dbos import DBOS

        self._stopping = True
        for step in list(self._steps):
            step.cancel()
        if self._workflows:
            await asyncio.wait(self._workflows)
        # In a thread of its own: the engine has lent its thread pool to the event loop, and now ends it.
        ended = threading.Thread(target=DBOS.destroy, kwargs={"destroy_registry": True}, name="dbos-destroy")
        ended.start()
        while ended.is_alive():
            await asyncio.sleep(0.02)
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(thread_name_prefix="asyncio"))
        logging.getLogger("dbos").removeFilter(_expected)

    async def enqueue(self, job: str) -> None:
        """Run the job when its turn comes. A job that was enqueued before is not enqueued twice."""
        from dbos import DBOS, SetWorkflowID

        assert self._workflow is not None
        with SetWorkflowID(job):
            await DBOS.enqueue_workflow_async(_QUEUE, self._workflow, job)

    async def cancel(self, job: str) -> None:
        """Cancel `run_job` of the job wherever it runs, within about a second; a queued job never starts."""
        from dbos import DBOS

        await DBOS.cancel_workflow_async(job)

    async def forget(self, job: str) -> None:
        """Remove what the engine remembers of a job that has ended."""
        from dbos import DBOS

        await DBOS.delete_workflow_async(job)

    async def abandoned(self, job: str) -> bool:
        """Whether the engine will not run the job any more, although it may not have ended."""
        from dbos import DBOS

        status = await DBOS.get_workflow_status_async(job)
        return status is not None and status.status not in ("ENQUEUED", "PENDING", "DELAYED")

    async def _step(self, job: str) -> None:
        with _counted(self._steps):
            async with self._slots:
                if self._stopping:
                    raise asyncio.CancelledError
                await self._run_job(job)


@contextlib.contextmanager
def _counted(tasks: set[asyncio.Task[Any]]) -> Iterator[None]:
    """The running task is in `tasks` for the length of the block."""
    task = asyncio.current_task()
    assert task is not None
    tasks.add(task)
    try:
        yield
    finally:
        tasks.discard(task)


def _expected(record: logging.LogRecord) -> bool:
    """Drops what the engine says about cancellations: they are asked for, and told by the job itself."""
    return "cancel" not in record.getMessage().lower()
