"""`omnimatte serve`: one orchestrator over a model server, a store and a database that others run, as a pod has it.

Until SIGTERM: then it takes no more jobs, gives back those that it runs, and leaves.
Must not know: command lines, or how any of it works inside.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Mapping

from orchestrator.runners.triton import INSTANCES, TritonRunner
from orchestrator.server import serving
from orchestrator.settings import Settings
from services.observe.logs import tell


def serve(settings: Settings, *, triton: str, limits: Mapping[str, int]) -> int:
    """Serve until SIGINT or SIGTERM; returns 0.

    Args:
        settings: of the orchestrator.
        triton: HOST:PORT of the model server's gRPC endpoint.
        limits: stage -> runs of it at once, where that is not what one model server's configuration says.
    Raises:
        OmnimatteError: see `orchestrator.server.serving`.
    """
    with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
        asyncio.run(_serve(settings, triton, {**INSTANCES, **limits}))
    return 0


async def _serve(settings: Settings, triton: str, limits: Mapping[str, int]) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    runner = TritonRunner(triton, limits=limits)
    try:
        async with serving(settings, runner, limits=limits) as server:
            text = (
                f"ready: {settings.executor_id} has its gRPC API on {server.address}, metrics on {server.metrics_url}"
            )
            tell(text)
            await loop.create_future()
    finally:
        await runner.close()
