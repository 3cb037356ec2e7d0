"""What the adapter makes of a stage, seen from outside the real Triton binary."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from orchestrator.runners.triton import TritonRunner
from orchestrator.triton_server import TritonServer
from services.artifacts import Store
from services.errors import BadMask, BadOption, Internal, NotFound
from services.stage import Progress, Request
from tests.model_repository.toy_server import running_toy_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    with running_toy_server(tmp_path_factory.mktemp("triton")) as server:
        yield server


@pytest.fixture
def store(server: TritonServer) -> Store:
    return Store(server.store)


@pytest_asyncio.fixture
async def runner(server: TritonServer) -> AsyncIterator[TritonRunner]:
    runner = TritonRunner(server.grpc_address, limits={"toy": 2}, log=server.log_path)
    yield runner
    await runner.close()


def ignore(_: Progress) -> None:
    pass


def made_artifacts(store: Store) -> set[str]:
    return {path.parent.name for path in Path(store.url).glob("*/*/manifest.json")}


async def test_progress_comes_in_order_and_then_the_result(runner: TritonRunner, store: Store) -> None:
    seen: list[Progress] = []
    result = await runner.run(Request("toy", {"steps": 5, "seconds": 0.05}), on_progress=seen.append)
    assert [progress.done for progress in seen] == sorted({progress.done for progress in seen})
    assert seen[0] == Progress(1, 5, "counting")
    assert seen[-1] == Progress(5, 5, "counting"), "the last progress is never dropped"
    assert result.meta == {"steps": 5}
    assert not result.cached
    assert store.get(result.address).read("out.txt") == b"counted"


async def test_fast_steps_are_reported_a_few_times_only(runner: TritonRunner) -> None:
    seen: list[Progress] = []
    await runner.run(Request("toy", {"steps": 2000}), on_progress=seen.append)
    assert len(seen) < 100
    assert seen[-1].done == 2000


async def test_the_same_request_is_not_computed_twice(runner: TritonRunner) -> None:
    request = Request("toy", {"steps": 4})
    first = await runner.run(request, on_progress=ignore)
    seen: list[Progress] = []
    second = await runner.run(request, on_progress=seen.append)
    assert second.cached
    assert second.address == first.address
    assert seen == []


async def test_an_error_of_the_tree_arrives_as_it_was_raised(runner: TritonRunner) -> None:
    with pytest.raises(BadMask) as caught:
        await runner.run(Request("toy", {"fail": "mask"}), on_progress=ignore)
    assert caught.value.message == "the mask 'vase.png' is empty; draw something in it."
    assert caught.value.field == "objects[0].mask"


@pytest.mark.parametrize("fail", ["fault", "exit"])
async def test_a_fault_names_the_work_and_leaves_the_instance_alive(runner: TritonRunner, fail: str) -> None:
    for attempt in range(3):  # more often than there are instances
        with pytest.raises(Internal, match="toy/vase: "):
            request = Request("toy", {"fail": fail, "attempt": attempt}, subject="toy/vase")
            await runner.run(request, on_progress=ignore)
    assert await runner.run(Request("toy", {"after": fail}), on_progress=ignore)


async def test_a_request_for_another_stage_is_refused(server: TritonServer) -> None:
    class Misdirected(Request):
        def to_json(self) -> str:
            return Request("casper").to_json()

    runner = TritonRunner(server.grpc_address)
    with pytest.raises(BadOption, match="'toy', not 'casper'"):
        await runner.run(Misdirected("toy"), on_progress=ignore)
    await runner.close()


async def test_a_malformed_request_is_refused(server: TritonServer) -> None:
    class Malformed(Request):
        def to_json(self) -> str:
            return "{"

    runner = TritonRunner(server.grpc_address)
    with pytest.raises(BadOption, match="malformed"):
        await runner.run(Malformed("toy"), on_progress=ignore)
    await runner.close()


async def test_a_missing_input_is_told(runner: TritonRunner) -> None:
    with pytest.raises(NotFound):
        await runner.run(Request("toy", inputs={"clip": "ab" * 32}), on_progress=ignore)


async def test_cancellation_stops_the_stage_and_nothing_becomes_visible(runner: TritonRunner, store: Store) -> None:
    before = made_artifacts(store)
    drafts_before = set(Path(store.url).glob("*/*/*/half"))
    steps: asyncio.Queue[Progress] = asyncio.Queue()
    request = Request("toy", {"steps": 100_000, "seconds": 0.01, "long": True})
    task = asyncio.create_task(runner.run(request, on_progress=steps.put_nowait))
    await steps.get()
    assert set(Path(store.url).glob("*/*/*/half")) - drafts_before, "the stage has begun to write"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(500):  # it stops at its next check; the loop only bounds a failure
        if set(Path(store.url).glob("*/*/*/half")) == drafts_before:
            break
        await asyncio.sleep(0.02)
    assert set(Path(store.url).glob("*/*/*/half")) == drafts_before, "the draft is removed when the stage has stopped"
    assert made_artifacts(store) == before


async def test_two_instances_work_at_the_same_time(runner: TritonRunner) -> None:
    """Each request goes on only when it has seen the other one's mark, which one after the other would never do."""
    requests = [Request("toy", {"meet": me, "other": other}) for me, other in (("a", "b"), ("b", "a"))]
    results = await asyncio.gather(*(runner.run(request, on_progress=ignore) for request in requests))
    assert all(result.meta["met"] for result in results)


async def test_what_exceeds_the_limit_waits_in_the_runner(server: TritonServer) -> None:
    runner = TritonRunner(server.grpc_address, limits={"toy": 1})
    steps: asyncio.Queue[Progress] = asyncio.Queue()
    long = Request("toy", {"steps": 10_000, "seconds": 0.01, "n": 1})
    first = asyncio.create_task(runner.run(long, on_progress=steps.put_nowait))
    await steps.get()
    seen: list[Progress] = []
    second = asyncio.create_task(runner.run(Request("toy", {"n": 2}), on_progress=seen.append))
    for _ in range(2):
        await steps.get()
    assert not seen, "one of the two instances is free, but the limit is one"
    first.cancel()
    assert (await second).meta == {"steps": 3}
    await runner.close()
