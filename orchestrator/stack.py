"""The embedded stack's model server: up for the length of an `async with`, on this machine alone.

    async with embedded_triton(store, ports=Ports.free(), home=folder) as server:
        runner = TritonRunner(server.grpc_address, log=server.log_path)
        reason = await wait_dead(server)        # beside the work: tells when and why the server died

Must not know: jobs, the API, and what is computed.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from orchestrator.triton_server import Ports, TritonServer, free_port, free_ports, require_free

__all__ = ["Ports", "TritonServer", "embedded_triton", "free_port", "free_ports", "require_free", "wait_dead"]

_WATCH_SECONDS = 0.3


@asynccontextmanager
async def embedded_triton(
    store: str,
    *,
    ports: Ports | None = None,
    home: Path | None = None,
    threads: int = 1,
    repository: Path | None = None,
    instances: Mapping[str, int] | None = None,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[TritonServer]:
    """A ready Triton, and none any more when the block is left, in whatever way.

    Args:
        store: the artifact store that the models read and write.
        ports: where to listen; default: free ones.
        home: folder for runtime files and the log, kept afterwards; default: a temporary one.
        threads: how many threads one model instance computes with.
        repository: the model repository; default: the project's own.
        instances: how many instances a model has, where that is not what its configuration says.
        environment: more variables for the models.
    Raises:
        Unavailable: a port is in use, Triton is not installed, or a model does not load.
    """
    with tempfile.TemporaryDirectory(prefix="omnimatte-") as scratch:
        server = TritonServer(
            store=store,
            folder=home or Path(scratch),
            ports=ports or Ports.free(),
            threads=threads,
            repository=repository,
            instances=instances,
            environment=environment,
        )
        try:
            server.launch()
            await asyncio.to_thread(server.wait_ready)
            yield server
        finally:
            # Not awaited: a second Ctrl-C must not leave the server behind. It takes a few seconds at most.
            server.stop()


async def wait_dead(server: TritonServer) -> str:
    """Wait until the server is gone without having been asked to; returns the reason, a sentence for the user."""
    while (reason := server.died()) is None:
        await asyncio.sleep(_WATCH_SECONDS)
    return reason
