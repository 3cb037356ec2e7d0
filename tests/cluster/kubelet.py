"""A node that runs worker pods as processes of this machine, and says of them what a kubelet would."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from orchestrator.runners.kubernetes.api import PODS
from orchestrator.runners.kubernetes.manifest import INDEX, RUN
from services.errors import OmnimatteError
from tests.cluster.hands import Hands

ROOT = Path(__file__).resolve().parents[2]
_EVERY = 0.05

Command = Callable[[Mapping[str, Any]], list[str]]


def the_worker(pod: Mapping[str, Any]) -> list[str]:
    """What a worker pod's container runs."""
    return [sys.executable, "-m", "services.worker"]


class Kubelet:
    """Runs the pods that there are. Make it with `kubelet`.

    Attributes:
        hold: a pod's reason not to start, as a pod status; None: start it.
        started: names of the pods that were started, in order.
        codes: their exit statuses.
    """

    def __init__(self, hands: Hands, *, command: Command, environment: Mapping[str, str]) -> None:
        self._hands = hands
        self._command = command
        self._environment = environment
        self._pods: dict[str, asyncio.Task[None]] = {}
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._evicted: set[str] = set()
        self.hold: Callable[[Mapping[str, Any]], dict[str, Any] | None] = lambda pod: None
        self.started: list[str] = []
        self.codes: dict[str, int] = {}

    async def loop(self) -> None:
        while True:
            with contextlib.suppress(OmnimatteError):
                pods = {pod["metadata"]["name"]: pod for pod in await self._hands.pods()}
                for name, pod in pods.items():
                    ours = RUN in pod["metadata"].get("labels", {})
                    if ours and pod["status"].get("phase", "Pending") == "Pending" and name not in self._pods:
                        await self._begin(name, pod)
                    if "deletionTimestamp" in pod["metadata"]:
                        self._signal(name, signal.SIGTERM)
                for name in set(self._processes) - set(pods):
                    self._signal(name, signal.SIGTERM)
            await asyncio.sleep(_EVERY)

    async def _begin(self, name: str, pod: Mapping[str, Any]) -> None:
        status = self.hold(pod)
        if status is not None:
            await self._hands.patch_status(PODS, name, status)
            return
        self._pods[name] = asyncio.create_task(self._run(name, pod))

    async def _run(self, name: str, pod: Mapping[str, Any]) -> None:
        container = next(one for one in pod["spec"]["containers"] if one["name"] == "worker")
        given = {one["name"]: str(one.get("value", "")) for one in container.get("env", [])}
        index = pod["metadata"]["annotations"][INDEX]
        environment = {
            **os.environ,
            **self._environment,
            **given,
            "JOB_COMPLETION_INDEX": index,
            "OMP_NUM_THREADS": "1",
        }
        process = await asyncio.create_subprocess_exec(
            *self._command(pod), cwd=ROOT, env=environment, stdout=DEVNULL, stderr=None
        )
        self._processes[name] = process
        self.started.append(name)
        await self._told(name, {"phase": "Running"})
        code = await process.wait()
        del self._processes[name]
        self.codes[name] = code
        status: dict[str, Any] = {
            "phase": "Failed" if code else "Succeeded",
            "containerStatuses": [{"name": "worker", "state": {"terminated": {"exitCode": code}}}],
        }
        if name in self._evicted:
            status["conditions"] = [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]
        told = await self._told(name, status)
        if told and "deletionTimestamp" in told["metadata"]:
            await self._hands.remove_pod(name, grace=0)

    async def _told(self, name: str, status: dict[str, Any]) -> Any:
        while True:
            try:
                return await self._hands.patch_status(PODS, name, status)
            except OmnimatteError:
                await asyncio.sleep(_EVERY)

    def evict(self, name: str) -> None:
        """The node is taken back: the worker is told to go, and it does not count against its Job."""
        self._evicted.add(name)
        self._signal(name, signal.SIGTERM)

    def kill(self, name: str) -> None:
        self._signal(name, signal.SIGKILL)

    @property
    def running(self) -> list[str]:
        return list(self._processes)

    def _signal(self, name: str, number: int) -> None:
        process = self._processes.get(name)
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    async def close(self) -> None:
        for name in list(self._processes):
            self._signal(name, signal.SIGKILL)
        if self._pods:
            await asyncio.wait(list(self._pods.values()), timeout=5)


@contextlib.asynccontextmanager
async def kubelet(
    hands: Hands, *, command: Command = the_worker, environment: Mapping[str, str]
) -> AsyncIterator[Kubelet]:
    node = Kubelet(hands, command=command, environment=environment)
    task = asyncio.create_task(node.loop())
    try:
        yield node
    finally:
        task.cancel()
        await asyncio.wait([task])
        await node.close()
