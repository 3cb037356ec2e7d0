"""Runs stages in this very process, in a thread: the real stage code without Triton, for tests and for debugging.

Must not know: Triton. The stages' libraries are loaded with the first request for each.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from services import registry
from services.artifacts import Store
from services.stage import Progress, Request, Result, Stage, execute


class LocalRunner:
    """A `Runner` on one thread: one stage at a time, so that no stage needs to be safe against itself."""

    def __init__(self, store: Store, *, factory: Callable[[str], Stage] = registry.create) -> None:
        self._store = store
        self._factory = factory
        self._stages: dict[str, Stage] = {}
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="stage")

    async def run(self, request: Request, *, on_progress: Callable[[Progress], None]) -> Result:
        """See `Runner.run`."""
        loop = asyncio.get_running_loop()
        cancelled = threading.Event()

        def report(progress: Progress) -> None:
            loop.call_soon_threadsafe(_unless, cancelled, on_progress, progress)

        def work() -> Result:
            if request.stage not in self._stages:
                self._stages[request.stage] = self._factory(request.stage)
            stage = self._stages[request.stage]
            return execute(stage, request, self._store, on_progress=report, cancelled=cancelled.is_set)

        future = self._pool.submit(work)
        try:
            return await asyncio.wrap_future(future)
        finally:
            # Cancelling the task leaves a running thread alone: this is what makes the stage stop.
            cancelled.set()

    def close(self) -> None:
        """Wait for the running stage and end the thread."""
        self._pool.shutdown()


def _unless(cancelled: threading.Event, call: Callable[[Progress], None], progress: Progress) -> None:
    if not cancelled.is_set():
        call(progress)
