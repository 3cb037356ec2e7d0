"""Running stages without Triton."""

import asyncio
import threading
from pathlib import Path

import pytest

from orchestrator.runners.local import LocalRunner
from services.artifacts import Store
from services.errors import BadMask
from services.stage import Progress, Request
from tests.model_repository.toy_stage import Toy


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


@pytest.fixture
def runner(store: Store) -> LocalRunner:
    return LocalRunner(store, factory=lambda _: Toy())


async def test_progress_arrives_on_the_event_loop_before_the_result(runner: LocalRunner) -> None:
    seen: list[tuple[int, int]] = []
    result = await runner.run(
        Request("toy"), on_progress=lambda progress: seen.append((progress.done, threading.get_ident()))
    )
    assert seen == [(step, threading.get_ident()) for step in (1, 2, 3)]
    assert result.meta == {"steps": 3}
    assert (await runner.run(Request("toy"), on_progress=lambda _: None)).cached


async def test_errors_come_as_they_were_raised(runner: LocalRunner) -> None:
    with pytest.raises(BadMask):
        await runner.run(Request("toy", {"fail": "mask"}), on_progress=lambda _: None)


async def test_cancelling_the_task_stops_the_stage(runner: LocalRunner, store: Store) -> None:
    steps: asyncio.Queue[Progress] = asyncio.Queue()
    request = Request("toy", {"steps": 100_000, "seconds": 0.005})
    task = asyncio.create_task(runner.run(request, on_progress=steps.put_nowait))
    await steps.get()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    runner.close()  # returns when the stage has stopped
    assert [path for path in Path(store.url).rglob("*") if path.is_file()] == []
