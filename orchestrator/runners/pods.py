"""Runs stages on Triton pods: each request goes to the least busy pod that is ready, never round-robin.

A stage's address is a name whose every address is a ready pod (a headless Service). Which pods there are decides how
many runs there may be at once (`places`), so the queue is the orchestrator's and not Triton's. Other orchestrators use
the same pods; what they have sent is seen in each pod's own count of waiting requests.
Must not know: Kubernetes; a name service is all it needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp

from orchestrator.runners.tls import ModelTls
from orchestrator.runners.triton import INSTANCES, TritonRunner
from orchestrator.slots import UNLIMITED
from services.errors import BadOption, Unavailable
from services.stage import Progress, Request, Result

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 2.0
_AVOID_SECONDS = 5.0
_ASK_SECONDS = 0.5
_PENDING = "nv_inference_pending_request_count"


Resolve = Callable[[str, int], Awaitable[Sequence[str] | None]]
"""Every address behind a name, in order; [] for an unknown name (no pod is ready), None if nobody answers."""


@dataclass
class _Pod:
    """One model server: HOST:PORT of its gRPC endpoint."""

    address: str
    runner: TritonRunner
    running: Counter[str] = field(default_factory=Counter)
    avoid_until: float = 0.0


class TritonPods:
    """A `Runner`, with the pods behind it. Belongs to one event loop; use it as `async with`."""

    def __init__(
        self,
        models: Mapping[str, str],
        *,
        limits: Mapping[str, int] | None = None,
        tls: ModelTls | None = None,
        metrics_port: int = 8002,
        look_seconds: float = _LOOK_SECONDS,
        resolve: Resolve | None = None,
    ) -> None:
        """
        Args:
            models: stage -> HOST:PORT of its model servers.
            limits: stage -> its runs at once on one pod; by default what `model_repository` says.
            tls: how they and we prove who we are; None: in the clear.
            metrics_port: of the model servers' figures; 0: they are not asked.
            look_seconds: how often the name service is asked.
            resolve: asks it; default: the machine's own.
        Raises:
            BadOption: an address is none, or a certificate cannot be read.
        """
        self._models = {stage: _split(stage, address) for stage, address in models.items()}
        self._limits = {**INSTANCES, **(limits or {})}
        self._tls = tls
        self._metrics_port = metrics_port
        self._look_seconds = look_seconds
        self._resolve = resolve or _resolved
        self._pods: dict[str, _Pod] = {}
        self._behind: dict[tuple[str, int], list[_Pod]] = {}
        self._session: aiohttp.ClientSession | None = None

    @contextlib.asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        """Knows which pods there are for the length of the block."""
        await self._look()
        task = asyncio.create_task(self._keep_looking(), name="pods")
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ASK_SECONDS)) as session:
            self._session = session
            try:
                yield
            finally:
                task.cancel()
                await asyncio.wait([task])
                for pod in self._pods.values():
                    await pod.runner.close()

    def places(self, stage: str) -> int:
        """How many runs of the stage the pods that there are take at once; 0 while there is none."""
        return self._limits.get(stage, 1) * len(self._of(stage))

    async def run(self, request: Request, *, on_progress: Callable[[Progress], None]) -> Result:
        """See `Runner.run`."""
        pod = await self._chosen(request)
        pod.running[request.stage] += 1
        try:
            return await pod.runner.run(request, on_progress=on_progress)
        except Unavailable:
            # The name service may name it for a while yet.
            pod.avoid_until = time.monotonic() + _AVOID_SECONDS
            raise
        finally:
            pod.running[request.stage] -= 1

    async def _chosen(self, request: Request) -> _Pod:
        pods = self._of(request.stage)
        if not pods:
            raise Unavailable(
                f"no model server for {request.subject or request.stage} is ready; see why its pods are not, or "
                "whether it is scaled to none."
            )
        if len(pods) == 1:
            return pods[0]
        pending = await asyncio.gather(*(self._pending(pod, request.stage) for pod in pods))
        now = time.monotonic()
        loads = [
            (pod.avoid_until > now, pod.running[request.stage] + waiting, pod.address)
            for pod, waiting in zip(pods, pending, strict=True)
        ]
        return pods[loads.index(min(loads))]

    async def _pending(self, pod: _Pod, stage: str) -> int:
        """Requests that wait at the pod, whoever sent them; 0 if it does not say."""
        if not self._metrics_port or self._session is None:
            return 0
        host = pod.address.rpartition(":")[0]
        try:
            async with self._session.get(f"http://{host}:{self._metrics_port}/metrics") as response:
                return pending_of(await response.text(), stage)
        except (aiohttp.ClientError, TimeoutError, UnicodeDecodeError):
            return 0

    def _of(self, stage: str) -> list[_Pod]:
        if stage not in self._models:
            raise Unavailable(f"no address of model servers for stage {stage!r} is set; see `models`.")
        return self._behind.get(self._models[stage], [])

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(self._look_seconds)
            await self._look()

    async def _look(self) -> None:
        found = set(self._models.values())
        addresses = await asyncio.gather(*(self._resolve(*one) for one in found))
        for (host, port), known in zip(found, addresses, strict=True):
            if known is None:
                # The name service is away: what was true stays true.
                continue
            self._behind[host, port] = [self._pod(f"{one}:{port}") for one in known]
        living = {pod.address for pods in self._behind.values() for pod in pods}
        for address in set(self._pods) - living:
            if not +self._pods[address].running:
                await self._pods.pop(address).runner.close()

    def _pod(self, address: str) -> _Pod:
        if address not in self._pods:
            limits = dict.fromkeys(self._models, UNLIMITED)
            self._pods[address] = _Pod(address, TritonRunner(address, limits=limits, tls=self._tls))
        return self._pods[address]


def pending_of(text: str, stage: str) -> int:
    """What Triton's figures say that waits for a model."""
    total = 0.0
    for line in text.splitlines():
        if line.startswith(_PENDING) and f'model="{stage}"' in line:
            with contextlib.suppress(ValueError):
                total += float(line.rpartition(" ")[2])
    return int(total)


async def _resolved(host: str, port: int) -> list[str] | None:
    """Every address behind the name, in order; [] for an unknown name (no pod is ready), None if nobody answers."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)):
            return []
        _log.warning("the addresses of %s cannot be looked up now: %s", host, error)
        return None
    return sorted({f"[{item[4][0]}]" if item[0] is socket.AF_INET6 else str(item[4][0]) for item in found})


def _split(stage: str, address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise BadOption(f"models.{stage} is {address!r}; write HOST:PORT.")
    return host, int(port)
