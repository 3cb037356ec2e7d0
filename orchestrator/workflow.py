"""The one module that knows DBOS, the engine that makes jobs survive the process that runs them.

An attempt at a job is a workflow whose body is *one* step that runs the whole plan (`orchestrator/execute.py`). One
step is enough because correctness does not rest on the engine: each stage's output is in the artifact store under the
address of its request, so running a plan a second time walks over finished stages in milliseconds and goes on with the
first unfinished one. What the engine adds is only that somebody does run it a second time: a workflow of a process that
died is PENDING, and the next process with the same executor id and workflow version takes it up. A step per stage would
record the same facts twice, and its recovery would have to agree with the store's.

Which job runs, and when, is not the engine's to say: it has no fair queue, and recovers nothing of another replica (see
orchestrator/scheduling/). Whether an attempt may run at all is decided by the job's row: `run` is called at least once
and must return at once for an attempt that is over.

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

# Raised by hand when a recorded workflow could not be continued by the code as it is now.
WORKFLOW_VERSION = "2"

_OVER = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")


@dataclass(frozen=True)
class WorkflowSettings:
    """How jobs are run durably.

    Attributes:
        database_url: where the engine keeps its tables, SQLAlchemy style.
        executor_id: this replica's name; after a crash the next process of this name takes up its attempts. Two live
            processes must not share one.
    """

    database_url: str
    executor_id: str


class Workflows:
    """Durable attempts at jobs. One per process, because the engine is; belongs to the event loop that starts it."""

    def __init__(self, settings: WorkflowSettings, run: Callable[[str, int], Awaitable[None]]) -> None:
        """`run(job, attempt)` runs a job to its end; it is cancelled by `stop()`."""
        self._settings = settings
        self._run = run
        self._workflow: Callable[..., Any] | None = None
        self._workflows: set[asyncio.Task[Any]] = set()
        self._steps: set[asyncio.Task[Any]] = set()
        self._stopping = False

    async def start(self) -> None:
        """Ready for attempts; those that a dead process of the same executor id has left begin again."""
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

        @DBOS.step(name="run")
        async def step(job: str, attempt: int) -> None:
            with _counted(self._steps):
                if self._stopping:
                    raise asyncio.CancelledError
                await self._run(job, attempt)

        @DBOS.workflow(name="attempt")
        async def workflow(job: str, attempt: int) -> None:
            workflow_task = asyncio.current_task()
            assert workflow_task is not None
            # Until the engine is done with it, which is a little after its body is.
            self._workflows.add(workflow_task)
            workflow_task.add_done_callback(self._workflows.discard)
            await step(job, attempt)

        self._workflow = workflow
        # Blocks for a moment, and must: the engine adopts the event loop that it is launched in.
        DBOS.launch()

    async def stop(self) -> None:
        """Cancel what runs; attempts under way stay recorded as such and begin again with the next start."""
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

    async def begin(self, job: str, attempt: int) -> None:
        """Run the attempt, durably. One that was begun before is not begun twice."""
        from dbos import DBOS, SetWorkflowID

        assert self._workflow is not None
        with SetWorkflowID(_id(job, attempt)):
            await DBOS.start_workflow_async(self._workflow, job, attempt)

    async def known(self, job: str, attempt: int) -> bool:
        """Whether the attempt was begun, and has not come to an end."""
        from dbos import DBOS

        status = await DBOS.get_workflow_status_async(_id(job, attempt))
        return status is not None and status.status not in _OVER

    async def tidy(self) -> None:
        """Remove what the engine remembers of attempts that are over."""
        from dbos import DBOS

        over = await DBOS.list_workflows_async(
            status=list(_OVER), executor_id=self._settings.executor_id, limit=1000, load_input=False, load_output=False
        )
        if over:
            await DBOS.delete_workflows_async([status.workflow_id for status in over])


def _id(job: str, attempt: int) -> str:
    return f"{job}:{attempt}"


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
