"""An orchestrator on fake stages, as a program: `python -m tests.proofs.replica JSON`. Prints its address.

With "triton": HOST:PORT it is one on real stages instead. SIGTERM stops it in order.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from typing import Any

from orchestrator.access.settings import Access
from orchestrator.hygiene import Hygiene
from orchestrator.limits import Limits
from orchestrator.runners.triton import TritonRunner
from orchestrator.scheduling.pace import Pace
from orchestrator.scheduling.policy import Policies, Policy
from orchestrator.server import serving
from orchestrator.settings import Settings
from orchestrator.slots import fixed
from tests.proofs.stages import FakeRunner, Tempo


def settings_of(data: dict[str, Any]) -> Settings:
    made: dict[str, Any] = {"port": 0, "metrics_port": 0, **data}
    for name, kind in (("pace", Pace), ("hygiene", Hygiene), ("limits", Limits), ("access", Access)):
        if name in made:
            made[name] = kind(**made[name])
    if "policies" in made:
        policies = {tenant: Policy(**policy) for tenant, policy in made["policies"].items()}
        made["policies"] = Policies(default=policies.pop("", Policy()), tenants=policies)
    return Settings(**made)


async def main(options: dict[str, Any]) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    settings = settings_of(options["settings"])
    places = int(options.get("places", 1000))
    stages = ("ingest", "sam2", "plate", "casper", "ssr", "depth", "omnimatte", "finish")
    limits = dict.fromkeys(stages, places)
    fake = None if "triton" in options else FakeRunner(settings.store, Tempo(**options.get("tempo", {})))
    runner = fake or TritonRunner(options["triton"])
    try:
        async with serving(settings, runner, places=fixed(limits) if fake else None) as server:
            print(server.address, server.metrics_url, flush=True)
            await loop.create_future()
    except asyncio.CancelledError:
        pass
    finally:
        if fake is not None:
            fake.close()
        else:
            await runner.close()  # type: ignore[misc]


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    asyncio.run(main(json.loads(sys.argv[1])))
