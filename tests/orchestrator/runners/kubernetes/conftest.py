"""A cluster for each test: a small one made here or, with KUBECONFIG, the one that it names.

There, the API server and the Job controller are the real ones; the kubelet is always ours, so no node may be there to
take the pods. $OMNIMATTE_TEST_NAMESPACE (default: default) must be empty of our Jobs.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.aio.client import ApiClient, Configuration

from orchestrator.runners.kubernetes.api import Cluster, connected
from orchestrator.runners.kubernetes.runner import KubernetesRunner, running
from orchestrator.runners.kubernetes.settings import Shards
from services.artifacts import Store
from services.stage import Request
from tests.cluster.api_server import ApiServer
from tests.cluster.controller import controlling
from tests.cluster.hands import Hands
from tests.cluster.kubelet import Kubelet, kubelet

REAL = bool(os.environ.get("KUBECONFIG"))
needs_our_server = pytest.mark.skipif(REAL, reason="plays tricks that a real API server does not")

TEMPLATE = {
    "metadata": {"labels": {"app.kubernetes.io/name": "omnimatte"}},
    "spec": {
        "terminationGracePeriodSeconds": 30,
        "containers": [{"name": "worker", "image": "example.invalid/omnimatte:1", "command": ["python"]}],
        # On a real cluster: no node has this, so that nobody but us takes the pods.
        "nodeSelector": {"omnimatte.dev/test": "nowhere"},
    },
}


@dataclass
class Figures:
    """What the runner has counted."""

    calls: list[tuple[str, int]] = field(default_factory=list)
    restarts: int = 0
    followed: dict[str, int] = field(default_factory=dict)
    overheads: list[float] = field(default_factory=list)

    def called(self, verb: str, code: int) -> None:
        self.calls.append((verb, code))

    def watch_restarted(self) -> None:
        self.restarts += 1

    def following(self, jobs: dict[str, int]) -> None:
        self.followed = jobs

    def ended(self, *, overhead: float) -> None:
        self.overheads.append(overhead)


@dataclass
class Ground:
    """One test's cluster, store and node.

    Attributes:
        server: ours; None where a real one is used.
    """

    hands: Hands
    node: Kubelet
    store: Store
    settings: Shards
    log: Path
    server: ApiServer | None

    @contextlib.asynccontextmanager
    async def runner(self, *, figures: Figures | None = None, pod: str = "") -> AsyncIterator[KubernetesRunner]:
        """An orchestrator's runner; its Jobs outlive it, as when a process dies."""
        counted = figures or Figures()
        async with (
            self.connected(counted) as cluster,
            running(cluster, settings=self.settings, store=self.store, pod=pod, figures=counted) as runner,
        ):
            yield runner

    @contextlib.asynccontextmanager
    async def connected(self, figures: Figures) -> AsyncIterator[Cluster]:
        if self.server is None:
            async with connected(self.settings.namespace, on_call=figures.called) as cluster:
                yield cluster
            return
        async with ApiClient(Configuration(host=self.server.url)) as client:
            yield Cluster(client, self.settings.namespace, on_call=figures.called)

    def computed(self) -> list[str]:
        """Every step that a worker has really made."""
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def told() -> Callable[..., Request]:
    def make(name: str, *, job: str = "job-1", **params: Any) -> Request:
        params = {"name": name, **params}
        return Request("omnimatte", params, {}, f"omnimatte/{name}", context={"job": job, "tenant": "acme"})

    return make


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    template = tmp_path / "worker-pod.yaml"
    template.write_text(yaml.safe_dump(TEMPLATE))
    namespace = os.environ.get("OMNIMATTE_TEST_NAMESPACE", "default") if REAL else "films"
    settings = Shards(namespace=namespace, template=template, gather_seconds=0.2, poll_seconds=0.1, retries=1)
    store, log = Store(str(tmp_path / "store")), tmp_path / "worker.log"
    environment = {"OMNIMATTE_STORE": store.url, "WORKER_LOG": str(log)}
    command = [sys.executable, "-m", "tests.cluster.worker"]
    async with contextlib.AsyncExitStack() as stack:
        server: ApiServer | None = None
        if REAL:
            real = await stack.enter_async_context(connected(namespace))
            hands = Hands(real._client, namespace)
        else:
            server = ApiServer()
            await server.start()
            stack.push_async_callback(server.stop)
            client = await stack.enter_async_context(ApiClient(Configuration(host=server.url)))
            hands = Hands(client, namespace)
            await stack.enter_async_context(controlling(hands))
        node = await stack.enter_async_context(kubelet(hands, command=lambda _: command, environment=environment))
        yield Ground(hands, node, store, settings, log, server)
        if REAL:
            for job in await hands.jobs():
                await hands.delete(job["metadata"]["name"], uid=job["metadata"]["uid"])
