"""One model of a server: so many instances, a queue before them, and the figures that Triton keeps of both.

Must not know: gRPC, or what an instance computes. Belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

_MICRO = 1e6


@dataclass
class Figures:
    """Sums since the start, as Triton counts them. Seconds."""

    succeeded: int = 0
    failed: int = 0
    queued: float = 0.0
    computed: float = 0.0


class Model:
    """Requests for one model."""

    def __init__(self, name: str, *, instances: int) -> None:
        self.name, self.instances = name, instances
        self.figures = Figures()
        self.waiting = 0
        self.running = 0
        self._free = asyncio.Semaphore(instances)

    @contextlib.asynccontextmanager
    async def instance(self) -> AsyncIterator[None]:
        """An instance for the length of the block; who comes first is served first."""
        came = time.monotonic()
        self.waiting += 1
        try:
            await self._free.acquire()
        finally:
            self.waiting -= 1
        began = time.monotonic()
        self.figures.queued += began - came
        self.running += 1
        try:
            yield
        except BaseException:
            self.figures.failed += 1
            raise
        else:
            self.figures.succeeded += 1
        finally:
            self.running -= 1
            self.figures.computed += time.monotonic() - began
            self._free.release()


class Gpu:
    """For how long some model of a server has computed."""

    def __init__(self) -> None:
        self._users, self._busy, self._since = 0, 0.0, 0.0

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """For the length of the block it computes."""
        if not self._users:
            self._since = time.monotonic()
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._busy += time.monotonic() - self._since

    def busy_seconds(self) -> float:
        """Seconds that it has computed so far."""
        return self._busy + (time.monotonic() - self._since if self._users else 0.0)


def exposed(models: list[Model], gpu: Gpu) -> str:
    """The figures in Prometheus' format, under Triton's names, but for the GPU's: that is a gauge there."""
    lines = []
    for model in models:
        of, figures = f'{{model="{model.name}",version="1"}}', model.figures
        lines += [
            f"nv_inference_request_success{of} {figures.succeeded}",
            f"nv_inference_request_failure{of} {figures.failed}",
            f"nv_inference_pending_request_count{of} {model.waiting}",
            f"nv_inference_queue_duration_us{of} {figures.queued * _MICRO:.0f}",
            f"nv_inference_compute_infer_duration_us{of} {figures.computed * _MICRO:.0f}",
            f"nv_inference_request_duration_us{of} {(figures.queued + figures.computed) * _MICRO:.0f}",
        ]
    lines.append(f"fake_gpu_busy_seconds {gpu.busy_seconds():.4f}")
    return "\n".join(lines) + "\n"
