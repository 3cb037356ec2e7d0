"""The embedded stack's model server."""

import asyncio
from pathlib import Path

import pytest

from orchestrator.runners.triton import TritonRunner
from orchestrator.stack import embedded_triton
from services.stage import Request
from tests.model_repository.toy_server import toy_repository

SLOW = """
import time
class TritonPythonModel:
    def initialize(self, args):
        time.sleep(600)
"""


def runs(folder: Path) -> bool:
    return any(str(folder) in text for text in _command_lines())


def _command_lines() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_text())
        except OSError:
            continue
    return found


async def test_the_server_answers_within_the_block_and_is_gone_after_it(tmp_path: Path) -> None:
    repository = toy_repository(tmp_path)
    async with embedded_triton(str(tmp_path / "store"), home=tmp_path / "run", repository=repository) as server:
        assert runs(tmp_path)
        runner = TritonRunner(server.grpc_address)
        assert (await runner.run(Request("toy"), on_progress=lambda _: None)).meta == {"steps": 3}
        await runner.close()
    assert not runs(tmp_path)
    assert server.log_path.is_file(), "the log stays, for whoever wants to know"


async def test_a_start_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    repository = toy_repository(tmp_path, model=SLOW)

    async def use() -> None:
        async with embedded_triton(str(tmp_path / "store"), home=tmp_path / "run", repository=repository):
            pytest.fail("it cannot be ready")

    task = asyncio.create_task(use())
    while not runs(tmp_path):
        await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not runs(tmp_path)
