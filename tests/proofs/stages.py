"""Stages that hold a GPU that is not there: they take their time step by step, can be stopped at each, and make an
artifact that depends on what they were asked and on nothing else."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from services.artifacts import Store
from services.stage import Progress, Request, Result, Stage, Work, address_of, execute


@dataclass(frozen=True)
class Tempo:
    """A run takes between `shortest` and `longest` seconds, in steps of `step`; which, its address decides."""

    shortest: float = 0.0
    longest: float = 0.0
    step: float = 0.2

    def seconds(self, address: str) -> float:
        chance = int(hashlib.sha256(f"tempo {address}".encode()).hexdigest()[:8], 16) / 2**32
        return self.shortest + chance * (self.longest - self.shortest)


class Fake(Stage):
    """Writes down what it was asked. `finish` writes the files of a job as well."""

    version = 1

    def __init__(self, name: str) -> None:
        self.name = name  # type: ignore[misc]

    def run(self, work: Work) -> dict[str, Any]:
        work.draft.put("asked.txt", repr(sorted(work.params.items())).encode())
        if self.name == "preview":
            for label in work.params["labels"]:
                work.draft.put(f"masks/{label}.png", label.encode())
            return {"labels": list(work.params["labels"]), "coverage": [0.5] * len(work.params["labels"])}
        if self.name == "finish":
            for label in work.params["layers"]:
                work.draft.put(f"layers/{label}/00000.png", label.encode() * 1000)
        return {"frames": 3, "width": 8, "height": 6, "recomposition_psnr": 40.0}


class FakeRunner:
    """Runs them: the waiting costs nothing, so that hundreds fit on one core. `computed` counts by address."""

    def __init__(self, store: str, tempo: Tempo, *, threads: int = 8) -> None:
        self._store = Store(store)
        self._tempo = tempo
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="fake")
        self.running = 0

    async def run(self, request: Request, *, on_progress: Callable[[Progress], None]) -> Result:
        begun = time.monotonic()
        stage, cancelled = Fake(request.stage), threading.Event()
        self.running += 1
        try:
            loop = asyncio.get_running_loop()
            address = address_of(stage, request)
            if await loop.run_in_executor(self._pool, self._store.find, address) is None:
                await self._hold(self._tempo.seconds(address), on_progress)
            work = loop.run_in_executor(
                self._pool, lambda: execute(stage, request, self._store, cancelled=cancelled.is_set)
            )
            try:
                result = await asyncio.shield(work)
            except asyncio.CancelledError:
                # A real stage stops at its next look, and cleans up; so does this one, and is waited for.
                cancelled.set()
                await asyncio.wait([work])
                work.exception()
                raise
        finally:
            self.running -= 1
        return replace(result, seconds=time.monotonic() - begun)

    async def _hold(self, seconds: float, on_progress: Callable[[Progress], None]) -> None:
        steps = max(1, round(seconds / self._tempo.step)) if seconds else 0
        for i in range(steps):
            await asyncio.sleep(seconds / steps)
            on_progress(Progress(i + 1, steps, "steps"))

    def close(self) -> None:
        self._pool.shutdown()
