"""The embedded stack's model server."""

import asyncio
from pathlib import Path

import pytest

from orchestrator.runners.triton import TritonRunner
from orchestrator.stack import embedded_triton
from services.artifacts import Store
from services.stage import Request
from tests import s3
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


async def test_models_keep_their_artifacts_in_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = toy_repository(tmp_path)
    with s3.serving() as url:
        for name, value in s3.environment(url).items():
            monkeypatch.setenv(name, value)
        store = s3.new_bucket(url)
        async with embedded_triton(store, home=tmp_path / "run", repository=repository) as server:
            runner = TritonRunner(server.grpc_address)
            result = await runner.run(Request("toy"), on_progress=lambda _: None)
            again = await runner.run(Request("toy"), on_progress=lambda _: None)
            await runner.close()
        assert Store(store).get(result.address).meta == {"steps": 3}
        assert (result.cached, again.cached, again.address) == (False, True, result.address)


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
