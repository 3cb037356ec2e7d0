"""Job events on their way: from the running job into the database, and from there to whoever watches.

A stage may report progress hundreds of times a second. The writer keeps only the newest report of each stage run and
writes in batches, so that a job's history stays as long as its plan and watching costs little.
Must not know: gRPC, or what runs the job.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict

from orchestrator.db import Database, Event, NewEvent
from orchestrator.execute import NodeEvent, NodeState
from orchestrator.patience import patiently

_BATCH_SECONDS = 0.2
_POLL_SECONDS = 1.0


class Bell:
    """Wakes the watchers of a job in this process. Belongs to one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}

    def ring(self, job: str) -> None:
        for event in self._waiting.get(job, ()):
            event.set()

    @contextlib.contextmanager
    def listening(self, job: str) -> Iterator[asyncio.Event]:
        event = asyncio.Event()
        self._waiting.setdefault(job, set()).add(event)
        try:
            yield event
        finally:
            self._waiting[job].discard(event)
            if not self._waiting[job]:
                del self._waiting[job]


async def follow(database: Database, bell: Bell, job: str, *, tenant: str, after: int) -> AsyncIterator[Event]:
    """The tenant's job's events after sequence number `after`, past and future, until the one that ends it.

    Raises:
        NotFound: there is no such job, or not any more.
    """
    with bell.listening(job) as news:
        while True:
            news.clear()
            # The job before its events: a final state seen here has its event among those read next.
            state = (await asyncio.to_thread(database.owned, job, tenant=tenant)).state
            for event in await asyncio.to_thread(database.events, job, tenant=tenant, after=after):
                after = event.sequence
                yield event
            if state.final:
                return
            # Another process may write too, whose bell does not ring here.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), _POLL_SECONDS)


class Writer:
    """Records one running job's node events. Call it with each event; `async with` it around the run."""

    def __init__(
        self, database: Database, bell: Bell, job: str, *, attempt: int, on_lost: Callable[[], object]
    ) -> None:
        """`on_lost()` is called when another attempt has taken the job over, or when it is gone."""
        self._attempt = attempt
        self._on_lost = on_lost
        self._database = database
        self._bell = bell
        self._job = job
        self._pending: list[NodeEvent] = []
        self._news = asyncio.Event()
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def __call__(self, event: NodeEvent) -> None:
        self._pending.append(event)
        self._news.set()

    async def __aenter__(self) -> Writer:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._write()

    async def _run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            # A batch under way is finished even when the run ends meanwhile, and before the last one is written.
            await asyncio.shield(self._write())
            await asyncio.sleep(_BATCH_SECONDS)

    async def _write(self) -> None:
        async with self._writing:
            batch, self._pending = self._pending, []
            events = [NewEvent({"node": asdict(event)}, replaces=_replaces(event)) for event in _newest(batch)]
            if not events:
                return
            if await patiently(self._database.append, self._job, events, attempt=self._attempt):
                self._bell.ring(self._job)
            else:
                self._on_lost()


def _is_progress(event: NodeEvent) -> bool:
    return event.state is NodeState.RUNNING and event.total > 0


def _replaces(event: NodeEvent) -> str:
    return event.node if _is_progress(event) else ""


def _newest(batch: list[NodeEvent]) -> list[NodeEvent]:
    """The batch without the progress reports that a later event of the same node makes old news."""
    kept: list[NodeEvent] = []
    settled: set[str] = set()
    for event in reversed(batch):
        if not (_is_progress(event) and event.node in settled):
            kept.append(event)
        settled.add(event.node)
    return kept[::-1]
