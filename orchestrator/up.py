"""`omnimatte up`: the embedded stack in the foreground, until it is stopped or its model server dies.

When Triton dies, the jobs that run end with an error, the command says why and exits with status 5: whoever started it
(a person, systemd, a container) decides whether to start it again. Queued jobs wait for that.
Must not know: command lines, or how a stack works inside.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import Any

from orchestrator.embedded import embedded_stack
from orchestrator.settings import Home
from services.observe.logs import tell


def up(home: Home, **settings: Any) -> int:
    """Run the stack until SIGINT or SIGTERM; returns 0. Raises Unavailable when Triton dies.

    settings: those of `embedded_stack`.
    """
    with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
        asyncio.run(_up(home, **settings))
    return 0


async def _up(home: Home, **settings: Any) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    tell(f"starting the stack in {home.path}; this takes some seconds")
    async with embedded_stack(home, **settings) as stack:
        tell(f"ready: gRPC API on {stack.server.address}, metrics on {stack.server.metrics_url}; Ctrl-C stops it")
        error = await stack.dead
        tell("the stack is broken and stops; running jobs have ended with this error, queued ones wait")
        raise error
