"""Runs a plan: each node as soon as its inputs exist, all of them or none.

A node whose stage could not be reached, or stopped answering, is tried again by itself, and the others go on. Any other
failure cancels every other node, and so does a cancellation from outside. Nothing is remembered here: a node that was
done before answers at once from the artifact store, so running a plan again is how a job is resumed.
Must not know: how a stage is reached (that is the runner's), jobs, databases, or gRPC.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from orchestrator.plan import Node
from orchestrator.runners.base import Runner
from orchestrator.slots import Slots
from services.errors import Cancelled, Internal, OmnimatteError, Unavailable, encode, from_exception
from services.observe import tracing
from services.stage import Progress, Request, Result


class NodeState(StrEnum):
    """`CACHED` is `DONE` without work: the artifact was there. A node that is to be tried again is QUEUED once more."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    CACHED = "cached"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class NodeEvent:
    """Something happened to a node.

    Attributes:
        node: its id, "casper/vase".
        stage: the stage it runs.
        state: what it is now. Progress comes as RUNNING with `total` > 0.
        done, total, note, losses: the latest progress. preview: its picture, in base64.
        seconds: wall time that the stage took; for CACHED, what it took when it was made.
        error: `services.errors.encode` text of FAILED.
    """

    node: str
    stage: str
    state: NodeState
    done: int = 0
    total: int = 0
    note: str = ""
    seconds: float = 0.0
    error: str = ""
    losses: Mapping[str, float] = field(default_factory=dict)
    preview: str = ""


@dataclass(frozen=True)
class Retries:
    """How often a node is tried whose stage is out of reach, and how long is waited before: `first` seconds, then twice
    as long each time, at most `longest`. The defaults outlast a model server that starts again with its weights."""

    attempts: int = 30
    first: float = 0.5
    longest: float = 10.0

    def pause(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row."""
        return float(min(self.longest, self.first * 2 ** (failures - 1)))


Keep = Callable[[Node, Result], Awaitable[bool]]
"""Called with each node's result before anything uses it: whether it is there and stays until the plan is done."""

_MADE_AGAIN = 3


async def _whatever(node: Node, result: Result) -> bool:
    return True


class PartlyFailed(Exception):
    """Some nodes failed that were not worth the whole, and so have those that need them; all others are done.

    Attributes:
        failures: their errors by their ids, in the plan's order.
    """

    def __init__(self, failures: Mapping[str, OmnimatteError]) -> None:
        super().__init__(f"failed: {', '.join(failures)}")
        self.failures = failures


Spared = Callable[[Node, OmnimatteError], bool]
"""Whether the nodes that do not need a failed one go on to their ends."""


async def execute(
    nodes: Sequence[Node],
    runner: Runner,
    slots: Slots,
    *,
    on_event: Callable[[NodeEvent], None],
    retries: Retries = Retries(),
    keep: Keep = _whatever,
    spared: Spared | None = None,
) -> dict[str, Result]:
    """The result of every node, by its id.

    `on_event` is called in this event loop and must not block. A result that `keep` finds gone is made again.

    Raises:
        OmnimatteError: of the node that failed first and whose failure is not `spared`; all others have been cancelled.
        PartlyFailed: every failure was spared.
    """
    for node in nodes:
        on_event(NodeEvent(node.id, node.stage, NodeState.QUEUED))
    attempts = _Attempts(runner, slots, retries, keep)
    tasks: dict[str, asyncio.Task[Result]] = {}
    for node in nodes:
        needed = {name: tasks[name] for name in node.needs}
        tasks[node.id] = asyncio.create_task(_run(node, needed, attempts, on_event), name=node.id)
    by_task = {task: node for node, task in zip(nodes, tasks.values(), strict=True)}
    failures: dict[str, OmnimatteError] = {}
    pending = set(by_task)
    try:
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_EXCEPTION)
            errors = {by_task[task].id: error for task in done if (error := _error(task)) is not None}
            if spared is None or not all(spared(by_task[tasks[name]], error) for name, error in errors.items()):
                _raise_first(done)
            failures |= errors
    finally:
        await _stop(tasks.values())
    if failures:
        raise PartlyFailed({node.id: failures[node.id] for node in nodes if node.id in failures})
    return {name: task.result() for name, task in tasks.items()}


def _error(task: asyncio.Task[Result]) -> OmnimatteError | None:
    error = None if task.cancelled() else task.exception()
    return error if isinstance(error, OmnimatteError) else None


async def _run(
    node: Node,
    needed: Mapping[str, asyncio.Task[Result]],
    attempts: _Attempts,
    on_event: Callable[[NodeEvent], None],
) -> Result:
    reporter = _Reporter(node, on_event)
    # wait() and not gather(): cancelling this node must leave the nodes it waits for alone.
    if needed:
        done, _ = await asyncio.wait(needed.values(), return_when=asyncio.FIRST_EXCEPTION)
        if any(task.cancelled() or task.exception() for task in done):
            reporter.state(NodeState.CANCELLED)
            raise asyncio.CancelledError
    request = node.request({name: task.result().address for name, task in needed.items()})
    try:
        result = await attempts.run(node, request, reporter)
    except asyncio.CancelledError:
        reporter.state(NodeState.CANCELLED)
        raise
    except Exception as error:
        failure = from_exception(error, doing=node.id)
        reporter.state(NodeState.FAILED, error=encode(failure))
        raise failure from error
    reporter.state(NodeState.CACHED if result.cached else NodeState.DONE, seconds=result.seconds)
    return result


@dataclass(frozen=True)
class _Attempts:
    """Runs a request until it has an answer, or has failed too often for want of one."""

    runner: Runner
    slots: Slots
    retries: Retries
    keep: Keep

    async def run(self, node: Node, request: Request, reporter: _Reporter) -> Result:
        for failures in range(1, self.retries.attempts):
            try:
                return await self._once(node, request, reporter)
            except Unavailable as error:
                # Nothing is lost: the stage may even have finished, which the next attempt finds in the store.
                pause = self.retries.pause(failures)
                reporter.state(NodeState.QUEUED, note=f"again in {pause:g} s ({failures}): {error.message}")
                await asyncio.sleep(pause)
        return await self._once(node, request, reporter)

    async def _once(self, node: Node, request: Request, reporter: _Reporter) -> Result:
        began = time.time()
        async with self.slots.taken(request.stage):
            tracing.past(f"place {request.stage}", began=began, ended=time.time())
            reporter.state(NodeState.RUNNING)
            for _ in range(_MADE_AGAIN):
                result = await self.runner.run(request, on_progress=reporter.progress)
                # It was in the store when the stage looked; meanwhile it may have been deleted as unused.
                if await self.keep(node, result):
                    return result
        raise Internal(
            f"{node.id}: the artifact {result.address[:12]} is not in the orchestrator's store; see that the stages "
            "use the same store."
        )


class _Reporter:
    """Turns what happens to one node into events."""

    def __init__(self, node: Node, on_event: Callable[[NodeEvent], None]) -> None:
        self._node = node
        self._on_event = on_event
        self._started = time.monotonic()
        self._last = Progress(0, 0)

    def progress(self, progress: Progress) -> None:
        self._last = progress
        picture = base64.b64encode(progress.preview).decode()
        self._emit(NodeState.RUNNING, time.monotonic() - self._started, losses=progress.losses, preview=picture)

    def state(self, state: NodeState, *, seconds: float = 0.0, error: str = "", note: str = "") -> None:
        if state is NodeState.RUNNING:
            self._started, self._last = time.monotonic(), Progress(0, 0)
        if note:
            self._last = Progress(0, 0, note)
        self._emit(state, seconds, error=error)

    def _emit(self, state: NodeState, seconds: float, **more: Any) -> None:
        node, last = self._node, self._last
        event = NodeEvent(node.id, node.stage, state, last.done, last.total, last.note, round(seconds, 3))
        self._on_event(replace(event, **more))


async def _stop(tasks: Iterable[asyncio.Task[Result]]) -> None:
    """Cancel what still runs and wait until it has stopped."""
    pending = [task for task in tasks if not task.done()]
    for task in pending:
        task.cancel()
    if pending:
        await asyncio.wait(pending)


def _raise_first(done: set[asyncio.Task[Result]]) -> None:
    errors = [task.exception() for task in done if not task.cancelled()]
    failures = [error for error in errors if isinstance(error, OmnimatteError)]
    # A stage that answers "cancelled" beside a real failure is only its echo.
    failures.sort(key=lambda error: isinstance(error, Cancelled))
    if failures:
        raise failures[0]
    if any(task.cancelled() for task in done):
        raise Cancelled("the job was cancelled; create it again to resume from what is done.")
