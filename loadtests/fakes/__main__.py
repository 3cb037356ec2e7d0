"""python -m loadtests.fakes JSON: one model server without models, on a loopback address, until SIGTERM.

    {"store": FOLDER or URL, "host": "127.0.1.1", "port": 0, "metrics_port": 0, "instances": {"casper": 2, ...},
     "report": a report.json to take the times from, "scale": 0.1, "faults": {"unavailable": 0.01}}

Prints its two ports.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from pathlib import Path
from typing import Any

from loadtests.fakes.server import FakeTriton
from loadtests.fakes.tempo import MEASURED, Faults, Tempo, read_tables
from orchestrator.access.settings import is_loopback
from orchestrator.runners.triton import INSTANCES
from services.errors import BadOption
from services.observe import tracing


async def main(options: dict[str, Any]) -> None:
    """Serve."""
    host = options.get("host", "127.0.0.1")
    if not is_loopback(host):
        raise BadOption(f"fakes answer anybody, so they serve on this machine's own addresses only, not on {host}.")
    tempo = Tempo(
        read_tables(Path(options.get("report") or MEASURED)),
        scale=float(options.get("scale", 1.0)),
        faults=Faults(**options.get("faults", {})),
    )
    server = FakeTriton(options["store"], tempo, {**INSTANCES, **options.get("instances", {})})
    ports = {"port": int(options.get("port", 0)), "metrics_port": int(options.get("metrics_port", 0))}
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with server.serving(host, **ports) as (port, metrics_port):
        print(port, metrics_port, flush=True)
        await stopped.wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    with tracing.exporting("fake-triton"):
        asyncio.run(main(json.loads(sys.argv[1])))
