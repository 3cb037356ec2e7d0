"""Calling stages on the real Triton binary, and what happens when it goes away."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from orchestrator.runners.triton import TritonRunner
from orchestrator.stack import wait_dead
from orchestrator.triton_server import TritonServer, free_ports
from services.errors import Unavailable
from services.stage import Progress, Request
from tests.model_repository.toy_server import toy_server


def ignore(_: Progress) -> None:
    pass


async def begun(runner: TritonRunner, request: Request) -> asyncio.Task[object]:
    """A task that runs `request` and has reported its first step."""
    steps: asyncio.Queue[Progress] = asyncio.Queue()
    task: asyncio.Task[object] = asyncio.create_task(runner.run(request, on_progress=steps.put_nowait))
    await steps.get()
    return task


async def test_a_server_that_is_killed_is_told_and_may_come_back(tmp_path: Path) -> None:
    server = toy_server(tmp_path)
    server.start()
    runner = TritonRunner(server.grpc_address, log=server.log_path)
    try:
        task = await begun(runner, Request("toy", {"steps": 10_000, "seconds": 0.01}, subject="casper/vase"))
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(Unavailable, match=r"stopped answering while running casper/vase.*triton\.log.*again"):
            await task
        await wait_dead(server)
        with pytest.raises(Unavailable, match=server.grpc_address):
            await runner.run(Request("toy"), on_progress=ignore)

        server.stop()
        again = TritonServer(
            store=server.store, folder=tmp_path / "run", ports=server.ports, repository=tmp_path / "models"
        )
        again.start()
        try:
            assert (await runner.run(Request("toy"), on_progress=ignore)).meta == {"steps": 3}
        finally:
            again.stop()
    finally:
        server.stop()
        await runner.close()


async def test_a_crash_of_one_instance_ends_its_request_and_then_the_server(tmp_path: Path) -> None:
    server = toy_server(tmp_path)
    server.start()
    runner = TritonRunner(server.grpc_address, log=server.log_path)
    try:
        with pytest.raises(Unavailable, match="instance that ran casper/vase died"):
            await runner.run(Request("toy", {"fail": "crash"}, subject="casper/vase"), on_progress=ignore)
        assert "model instance" in await wait_dead(server)
    finally:
        server.stop()
        await runner.close()


async def test_no_server_at_all_is_told_at_once() -> None:
    runner = TritonRunner(f"127.0.0.1:{free_ports(1)[0]}")
    with pytest.raises(Unavailable, match="restart it and send the job again"):
        await runner.run(Request("ingest"), on_progress=ignore)
    await runner.close()


async def test_a_server_that_still_loads_its_models_is_one_to_wait_for(tmp_path: Path) -> None:
    server = toy_server(tmp_path)
    runner = TritonRunner(server.grpc_address)
    try:
        server.launch()
        while True:
            try:
                assert (await runner.run(Request("toy"), on_progress=ignore)).meta == {"steps": 3}
                break
            except Unavailable:
                await asyncio.sleep(0.02)
    finally:
        await runner.close()
        server.stop()
