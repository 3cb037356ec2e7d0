"""Job events on their way: from the running job into the database, and from there to whoever watches.

A stage may report progress hundreds of times a second. The journal keeps only the newest report of each stage run and
writes all jobs' news together, so that a job's history stays as long as its plan, and many jobs cost little more than
one.
Must not know: gRPC, or what runs the job.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict

from orchestrator.db import Database
from orchestrator.execute import NodeEvent, NodeState
from orchestrator.patience import patiently
from orchestrator.records import Addition, Event, NewEvent

_BATCH_SECONDS = 0.2
_REPORT_SECONDS = 1.0
_POLL_SECONDS = 1.0
# Jobs in one transaction: a claim in the store, which a stage run waits for, waits behind no longer one.
_TOGETHER = 20


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


class Journal:
    """Records what happens to all jobs that run in this process, together: a few transactions a second, however many
    jobs there are. Belongs to one event loop."""

    def __init__(self, database: Database, bell: Bell) -> None:
        self._database = database
        self._bell = bell
        self._writers: list[Writer] = []
        self._news = asyncio.Event()
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def writer(self, job: str, *, attempt: int, on_lost: Callable[[], object]) -> AsyncIterator[Writer]:
        """What records a running job's node events: call it with each. At the block's end all of them are recorded.

        `on_lost()` is called when another attempt has taken the job over, or when it is gone.
        """
        writer = Writer(job, attempt, self._news, on_lost)
        self._writers.append(writer)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        try:
            yield writer
        finally:
            try:
                await self._write()
            finally:
                self._writers.remove(writer)
                if not self._writers:
                    self._task.cancel()
                    self._task = None

    async def _run(self) -> None:
        reported = 0.0
        while True:
            await self._news.wait()
            self._news.clear()
            now = time.monotonic()
            everything = now - reported >= _REPORT_SECONDS
            reported = now if everything else reported
            # A batch under way is finished even when the last job ends meanwhile.
            await asyncio.shield(self._write(everything=everything))
            if any(writer.pending for writer in self._writers):
                self._news.set()
            # However much there is to write: most of the time, the database is others'.
            await asyncio.sleep(max(_BATCH_SECONDS, 3 * (time.monotonic() - now)))

    async def _write(self, *, everything: bool = True) -> None:
        """everything: also what only says how far a stage run is."""
        async with self._writing:
            chosen = [writer for writer in self._writers if everything or writer.urgent]
            batches = {writer: batch for writer in chosen if (batch := writer.taken())}
            if not batches:
                return
            chosen = list(batches)
            for i in range(0, len(chosen), _TOGETHER):
                part = chosen[i : i + _TOGETHER]
                additions = [Addition(writer.job, writer.attempt, batches[writer]) for writer in part]
                lost = await patiently(self._database.append_all, additions)
                for writer in part:
                    if writer.job in lost:
                        writer.on_lost()
                    else:
                        self._bell.ring(writer.job)


class Writer:
    """Takes one running job's node events; see `Journal.writer`."""

    def __init__(self, job: str, attempt: int, news: asyncio.Event, on_lost: Callable[[], object]) -> None:
        self.job, self.attempt, self.on_lost = job, attempt, on_lost
        self._news = news
        self._pending: list[NodeEvent] = []
        self.urgent = False

    @property
    def pending(self) -> bool:
        return bool(self._pending)

    def __call__(self, event: NodeEvent) -> None:
        self._pending.append(event)
        self.urgent = self.urgent or not _is_progress(event)
        self._news.set()

    def taken(self) -> list[NewEvent]:
        """What is to be recorded, once."""
        batch, self._pending, self.urgent = self._pending, [], False
        return [NewEvent({"node": asdict(event)}, replaces=_replaces(event)) for event in _newest(batch)]


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
