"""The control plane with its node, beside whoever uses it: in a thread, or as a program of its own.

python -m tests.cluster.control_plane STORE     prints its address; every worker is done at once, without a process
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from kubernetes.aio.client import ApiClient, Configuration

from orchestrator.runners.kubernetes.api import PODS
from orchestrator.runners.kubernetes.manifest import INDEX, RUN
from services import worker
from services.artifacts import Store
from services.errors import OmnimatteError
from services.shards import Mailbox
from services.stage import Stage, Work
from tests.cluster.api_server import ApiServer
from tests.cluster.controller import controlling
from tests.cluster.hands import Hands
from tests.cluster.kubelet import Kubelet, kubelet

NAMESPACE = "films"
TEMPLATE: dict[str, Any] = {
    "metadata": {},
    "spec": {"containers": [{"name": "worker", "image": "example.invalid/omnimatte:1"}]},
}

T = TypeVar("T")


class DirectHands(Hands):
    """Looks at the server's own objects: thousands of pods need not be written and read twenty times a second."""

    server: ApiServer

    async def jobs(self) -> list[Any]:
        return self.server.of("jobs")

    async def pods(self) -> list[Any]:
        return self.server.of("pods")


@contextlib.asynccontextmanager
async def control_plane() -> AsyncIterator[tuple[ApiServer, Hands]]:
    server = ApiServer()
    await server.start()
    try:
        async with ApiClient(Configuration(host=server.url)) as client:
            hands = DirectHands(client, NAMESPACE)
            hands.server = server
            async with controlling(hands):
                yield server, hands
    finally:
        await server.stop()


def kubeconfig(url: str, path: Path) -> Path:
    """A file that names the server, for $KUBECONFIG."""
    data = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": url}}],
        "users": [{"name": "me", "user": {"token": "none"}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me", "namespace": NAMESPACE}}],
    }
    path.write_text(yaml.safe_dump(data))
    return path


class ControlPlane:
    """One in a thread of its own, for those who have no event loop."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """environment: of the workers."""
        self._environment = environment
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._end: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._main()], daemon=True)
        self.server: ApiServer
        self.hands: Hands
        self.node: Kubelet

    async def _main(self) -> None:
        self._end = asyncio.Event()
        async with contextlib.AsyncExitStack() as stack:
            self.server, self.hands = await stack.enter_async_context(control_plane())
            self.node = await stack.enter_async_context(kubelet(self.hands, environment=self._environment))
            self._ready.set()
            await self._end.wait()

    def do(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run something in the control plane's own event loop."""
        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(30)

    @contextlib.contextmanager
    def running(self) -> Iterator[ControlPlane]:
        self._thread.start()
        assert self._ready.wait(30)
        try:
            yield self
        finally:
            assert self._end is not None
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join(30)


class Instant(Stage):
    """Done at once."""

    version = 1

    def __init__(self, name: str) -> None:
        self.name = name  # type: ignore[misc]

    def run(self, work: Work) -> dict[str, Any]:
        work.draft.put("done.txt", repr(sorted(work.params.items())).encode())
        return {}


async def _instant(server: ApiServer, hands: Hands, store: Store) -> None:
    """A node on which every worker is done as soon as it is there."""
    while True:
        for pod in server.of("pods"):
            if pod["status"].get("phase") == "Pending":
                index = int(pod["metadata"]["annotations"][INDEX])
                mailbox = Mailbox(store, pod["metadata"]["labels"][RUN])
                worker.work(mailbox, store, index=index, cancelled=lambda: False, factory=Instant)
                # While the server is away, it stays pending, and is done once more.
                with contextlib.suppress(OmnimatteError):
                    await hands.patch_status(PODS, pod["metadata"]["name"], {"phase": "Succeeded"})
        await asyncio.sleep(0.02)


async def _program(store: str) -> None:
    async with control_plane() as (server, hands):
        print(server.url, flush=True)
        upset = asyncio.create_task(_upset(server))
        await _instant(server, hands, Store(store))
        upset.cancel()


async def _upset(server: ApiServer) -> None:
    """Now and then the history is compacted, or the server is away for a moment: watches must survive it."""
    while True:
        await asyncio.sleep(7)
        server.forget()
        await asyncio.sleep(7)
        await server.stop()
        await asyncio.sleep(0.5)
        await server.start()


if __name__ == "__main__":
    asyncio.run(_program(sys.argv[1]))
