"""An orchestrator on toy stages, over real gRPC on the loopback, for tests that see it from outside."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import toys

from orchestrator.api import omnimatte_pb2_grpc
from orchestrator.api.status import from_rpc
from orchestrator.client import Client
from orchestrator.server import Server, serving
from orchestrator.settings import Settings
from services.errors import OmnimatteError


class Background:
    """An orchestrator in a thread. One at a time: the workflow engine is the process's own."""

    _alone = threading.Lock()

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.store = str(folder / "store")
        database = f"sqlite:///{folder / 'orchestrator.sqlite'}"
        self._settings = Settings(store=self.store, database_url=database, port=0, metrics_port=0, **settings)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self.server: Server
        self.loop: asyncio.AbstractEventLoop

    async def _main(self) -> None:
        runner = toys.runner(self.store)
        try:
            async with serving(self._settings, runner) as self.server:
                self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
                self._ready.set()
                await self._stop.wait()
        finally:
            self._ready.set()
            runner.close()

    def __enter__(self) -> Background:
        assert self._alone.acquire(blocking=False), "another server runs in this process; stop it first"
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._alone.release()

    def go(self) -> None:
        """Let the jobs with the seed WAITS_FOR_FILE go on."""
        (Path(self.store) / "go").touch()


@pytest.fixture(scope="module")
def background(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Background]:
    with Background(tmp_path_factory.mktemp("orchestrator"), max_upload_bytes=3_000_000) as running:
        yield running


@pytest.fixture(scope="module")
def client(background: Background) -> Iterator[Client]:
    with Client(background.server.address) as connected:
        yield connected


class Caller:
    """The bare API."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address)
        self.stub: Any = omnimatte_pb2_grpc.OmnimatteStub(self._channel)

    def __call__(self, method: str, request: Any) -> Any:
        try:
            return getattr(self.stub, method)(request, timeout=30)
        except grpc.RpcError as error:
            raise from_rpc(error, address="") from error

    def close(self) -> None:
        self._channel.close()


@pytest.fixture(scope="module")
def call(background: Background) -> Iterator[Caller]:
    caller = Caller(background.server.address)
    yield caller
    caller.close()


def error_of(call: Caller, method: str, request: Any) -> OmnimatteError:
    with pytest.raises(OmnimatteError) as caught:
        call(method, request)
    return caught.value


@pytest.fixture
def spec(client: Client) -> dict[str, Any]:
    """A job with two objects, its uploads sent."""
    return make_spec(client)


def make_spec(client: Client, **options: Any) -> dict[str, Any]:
    video = client.upload([b"video"], filename="clip.mp4")
    objects = [{"label": label, "mask": client.upload([label.encode()])} for label in ("vase", "cup")]
    return {"source": video, "objects": objects, "options": options}
