"""An orchestrator on stages that say they held a GPU, and a Triton with a small model under the name of a real one."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator import triton_runtime
from orchestrator.hygiene import Hygiene
from orchestrator.observe.expiry import Expiry
from orchestrator.observe.worker_figures import WorkerFigures
from orchestrator.runners.triton import TritonRunner
from orchestrator.server import Server, serving
from orchestrator.settings import Settings
from orchestrator.triton_server import Ports, TritonServer
from services.errors import BadVideo, Unavailable
from services.stage import Progress, Request, Result
from tests.model_repository.toy_server import ROOT, toy_repository
from tests.orchestrator.access.makers import Authority
from tests.proofs.stages import FakeRunner, Tempo

MODEL = """
from toy_stage import Toy
from model_repository.adapter import stage_model
class Casper(Toy):
    name = "casper"
TritonPythonModel = stage_model("casper", factory=Casper)
"""

FAILS, WAITS = 666, 777
"""Seeds of jobs whose Casper runs fail, or wait until `Orchestrator.go`."""


class Stages:
    """See `Runner`. The first run of Casper finds its stage out of reach, and is tried again."""

    def __init__(self, store: str) -> None:
        self._fake = FakeRunner(store, Tempo(0.05, 0.2, step=0.05))
        self._reached = False
        self.go = threading.Event()

    async def run(self, request: Request, *, on_progress: Callable[[Progress], None]) -> Result:
        if request.stage == "casper":
            if not self._reached:
                self._reached = True
                raise Unavailable("the stage starts again.")
            if request.params["seed"] == FAILS:
                raise BadVideo("the clip is too strange; send another.")
            while request.params["seed"] == WAITS and not self.go.is_set():
                await asyncio.sleep(0.05)
        return replace(await self._fake.run(request, on_progress=on_progress), gpu=True)

    def close(self) -> None:
        self._fake.close()


def worker_figures() -> WorkerFigures:
    """Of one that has run Jobs."""
    figures = WorkerFigures()
    for code in (201, 201, 500):
        figures.called("create", code)
    figures.watch_restarted()
    figures.following({"shards": 1, "batch": 0})
    figures.ended(overhead=6.0)
    return figures


class Orchestrator:
    """In a thread, with one place for a job."""

    def __init__(self, folder: Path) -> None:
        store = str(folder / "store")
        database = f"sqlite:///{folder / 'orchestrator.sqlite'}"
        self._settings = Settings(
            store=store,
            database_url=database,
            port=0,
            metrics_port=0,
            running_jobs=1,
            hygiene=Hygiene(limit_bytes=10**9),
        )
        self._stages = Stages(store)
        self._certificate = Authority(folder, "watched").certificate
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self._ready = threading.Event()
        self.server: Server

    async def _main(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        try:
            figures = worker_figures()
            async with serving(
                self._settings, self._stages, collectors=(figures, Expiry({"api": self._certificate}))
            ) as self.server:
                self._ready.set()
                while not self._ended.is_set():
                    # A rate needs something that goes on.
                    figures.ended(overhead=6.0)
                    await asyncio.sleep(0.5)
        finally:
            self._ready.set()
            self._stages.close()

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(60)

    def go(self) -> None:
        """Jobs that wait in Casper go on."""
        self._stages.go.set()

    def stop(self) -> None:
        """Calling it again does nothing."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join(60)


@contextmanager
def orchestrating(folder: Path) -> Iterator[Orchestrator]:
    running = Orchestrator(folder)
    running.start()
    try:
        yield running
    finally:
        running.go()
        running.stop()


@contextmanager
def triton(folder: Path) -> Iterator[TritonServer]:
    """Serves the model `casper`, which counts. Skips the test where Triton is not installed."""
    try:
        triton_runtime.find_triton()
    except Unavailable as error:
        pytest.skip(str(error))
    repository = toy_repository(folder, model=MODEL)
    casper = (repository / "toy").rename(repository / "casper")
    shutil.copy(ROOT / "model_repository" / "casper" / "config.pbtxt", casper)
    server = TritonServer(store=str(folder / "store"), folder=folder / "run", ports=Ports.free(), repository=repository)
    server.start()
    try:
        yield server
    finally:
        server.stop()


async def ask(server: TritonServer, count: int, *, first: int) -> None:
    """So many requests, one after the other."""
    runner = TritonRunner(server.grpc_address)
    for number in range(first, first + count):
        await runner.run(Request("casper", params={"number": number}), on_progress=lambda _: None)
    await runner.close()
