"""The whole stack on this machine: Triton on its models, the orchestrator over it, a folder for everything they keep.

`omnimatte up` keeps it in the foreground; `omnimatte decompose` has one for the length of its job.
Must not know: command lines and terminals.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from orchestrator.access.settings import Access
from orchestrator.file_settings import Files
from orchestrator.hygiene import Hygiene
from orchestrator.runners.triton import INSTANCES, TritonRunner
from orchestrator.server import Server, serving
from orchestrator.settings import Home, Settings
from orchestrator.slots import fixed
from orchestrator.stack import embedded_triton, require_free, wait_dead
from services import models
from services.catalogue import WeightsHome, locate
from services.errors import Conflict, Unavailable
from services.profiles import COMPACT, PROFILE_VARIABLE, find

_ON_ONE_GPU = {"casper": 1}
"""Instances of stages whose published models fill a GPU: two would each load one."""


@dataclass(frozen=True)
class Stack:
    """A running stack.

    Attributes:
        server: its orchestrator.
        dead: completes, with the reason, when Triton has died. By then running jobs have ended with an error.
    """

    server: Server
    dead: asyncio.Task[Unavailable]


@asynccontextmanager
async def embedded_stack(
    home: Home,
    *,
    profile: str = COMPACT,
    port: int = 0,
    metrics_port: int = 0,
    resume: bool = True,
    host: str = "127.0.0.1",
    metrics_host: str = "127.0.0.1",
    access: Access | None = None,
    files: Files | None = None,
) -> AsyncIterator[Stack]:
    """A ready stack that keeps everything in `home`.

    Args:
        home: its folder; one stack at a time may use it.
        profile: of the jobs that choose none; its models are loaded at the start.
        port: of the gRPC API; 0 for a free one.
        metrics_port: of the Prometheus exporter; 0 for a free one.
        resume: whether to take up the jobs that an earlier stack in `home` left unfinished.
        host: that the gRPC API listens on.
        metrics_host: that the Prometheus exporter listens on.
        access: who may call; default: everybody on this machine.
        files: the server of signed addresses; default: none.
    Raises:
        BadOption: strangers could call. Conflict: another stack uses `home`.
        NotFound: weights of the profile are not here.
        Unavailable: a port is in use, or Triton does not start.
    """
    settings = Settings(
        store=home.store,
        database_url=home.database_url,
        host=host,
        port=port,
        access=access or Access(),
        files=files or Files(),
        metrics_host=metrics_host,
        metrics_port=metrics_port,
        profile=profile,
        resume=resume,
        hygiene=Hygiene.configured(),
    )
    settings.access.require_safe(host)
    _require_weights(profile, home)
    fewer = {} if profile == COMPACT else _ON_ONE_GPU
    instances = {**INSTANCES, **fewer}
    home.create()
    with locked(home) as tell:
        # Before Triton takes its time to start.
        for number, flag in ((port, "--port"), (metrics_port, "--metrics-port")):
            if number:
                require_free(number, flag=flag)
        for old in home.path.glob("triton-*"):
            shutil.rmtree(old, ignore_errors=True)
        async with embedded_triton(
            home.store,
            home=home.path,
            instances=fewer,
            environment={"OMNIMATTE_WEIGHTS": str(home.weights), PROFILE_VARIABLE: profile},
        ) as triton:
            runner = TritonRunner(triton.grpc_address, limits=instances, log=triton.log_path)
            async with _closed(runner), serving(settings, runner, places=fixed(instances)) as server:
                tell(server.address)

                async def died() -> Unavailable:
                    error = Unavailable(await wait_dead(triton))
                    await server.fail(error)
                    return error

                dead = asyncio.create_task(died())
                try:
                    yield Stack(server=server, dead=dead)
                finally:
                    dead.cancel()


def _require_weights(profile: str, home: Home) -> None:
    """Raises NotFound, with the command that gets them, if weights of the profile's models are not here."""
    for stage, name in find(profile).models.items():
        if name != COMPACT:
            for entry in models.find(stage, name).entries:
                locate(entry, WeightsHome(home.weights))


@asynccontextmanager
async def _closed(runner: TritonRunner) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await runner.close()


@contextlib.contextmanager
def locked(home: Home) -> Iterator[Callable[[str], None]]:
    """Keep other stacks out of `home`; yields what to call with the stack's address, for their messages.

    Raises:
        Conflict: another stack is there.
    """
    with home.lock.open("a+") as file:
        try:
            # Released by the system when the process ends, however it ends.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict(_taken(home)) from None

        def tell(address: str) -> None:
            file.truncate(0)
            file.write(json.dumps({"pid": os.getpid(), "address": address}))
            file.flush()

        tell("")
        yield tell


def _taken(home: Home) -> str:
    try:
        owner = json.loads(home.lock.read_text())
    except (OSError, ValueError):
        owner = {}
    way = f"use it with --server {owner['address']}" if owner.get("address") else "wait for it"
    return (
        f"the home folder {home.path} is in use by another omnimatte (process {owner.get('pid', 'unknown')}); "
        f"{way}, or choose another folder with --home."
    )


class BackgroundStack:
    """An embedded stack beside a program that does not use asyncio, in a thread of its own. A context manager.

    Attributes:
        address: HOST:PORT of its API, once entered.
    """

    def __init__(self, home: Home, *, profile: str = COMPACT) -> None:
        self._home, self._profile = home, profile
        self._ready = threading.Event()
        self._problem: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="stack", daemon=True)
        self.address = ""
        self._died = threading.Event()
        self._reason: Unavailable | None = None

    def __enter__(self) -> BackgroundStack:
        self._thread.start()
        try:
            self._ready.wait()
        except BaseException:
            self._stop()
            raise
        if self._problem is not None:
            self._thread.join()
            raise self._problem
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def died(self, *, within: float = 1.0) -> Unavailable | None:
        """Why Triton died, None if it lives; its death is noticed `within` some seconds."""
        self._died.wait(within)
        return self._reason

    def _stop(self) -> None:
        if self._loop is not None and self._main is not None and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                self._loop.call_soon_threadsafe(self._main.cancel)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            self._problem = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._main = asyncio.get_running_loop(), asyncio.current_task()
        # One job only: what an interrupted command left behind is not this one's business.
        async with embedded_stack(self._home, profile=self._profile, resume=False) as stack:
            self.address = stack.server.address
            self._ready.set()
            self._reason = await stack.dead
            self._died.set()
            # The client still wants to hear how its job ended.
            await asyncio.get_running_loop().create_future()
