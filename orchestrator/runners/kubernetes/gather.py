"""Requests that come within a moment of each other, so that they can share a Job.

A job's solver shards become ready at about the same time; the first waits a little for the others. One that comes later
gets a run of its own: waiting for it would cost the others more.
Must not know: Kubernetes, or what a request is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from services.errors import from_exception

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass
class _Group(Generic[Item, Answer]):
    waiting: list[tuple[Item, asyncio.Future[Answer]]] = field(default_factory=list)
    task: asyncio.Task[None] | None = None


class Gathering(Generic[Item, Answer]):
    """Calls `start` with several items at once, and hands each its own answer. Belongs to one event loop."""

    def __init__(
        self, start: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]], *, seconds: float, most: int
    ) -> None:
        """start: answers in the order of the items. seconds: how long the first waits. most: items of one call."""
        self._start = start
        self._seconds = seconds
        self._most = most
        self._groups: dict[str, _Group[Item, Answer]] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def add(self, group: str, item: Item) -> Answer:
        """The item's answer, once its group has been started. Raises what `start` raises."""
        found = self._groups.setdefault(group, _Group())
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        found.waiting.append((item, answer))
        if len(found.waiting) >= self._most:
            self._send(group)
        elif found.task is None:
            found.task = asyncio.create_task(self._later(group))
        return await answer

    async def _later(self, group: str) -> None:
        await asyncio.sleep(self._seconds)
        self._send(group)

    def _send(self, group: str) -> None:
        found = self._groups.pop(group)
        if found.task is not None and found.task is not asyncio.current_task():
            found.task.cancel()
        task = asyncio.create_task(self._run(found))
        # The event loop itself keeps only a weak hold of it.
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, group: _Group[Item, Answer]) -> None:
        # Who has been cancelled meanwhile needs no answer.
        waiting = [(item, answer) for item, answer in group.waiting if not answer.done()]
        if not waiting:
            return
        try:
            answers = await self._start([item for item, _ in waiting])
        except Exception as error:
            for _, answer in waiting:
                if not answer.done():
                    # One each: an exception that several raise collects all their tracebacks.
                    failure = from_exception(error, doing="starting workers")
                    answer.set_exception(type(failure)(failure.message, field=failure.field))
            return
        for (_, answer), made in zip(waiting, answers, strict=True):
            if not answer.done():
                answer.set_result(made)
