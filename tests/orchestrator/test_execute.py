"""How a plan is run: order, failure, cancellation, and what is told meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from orchestrator.execute import NodeEvent, NodeState, Slots, execute
from orchestrator.plan import Node, Output, plan
from orchestrator.spec import from_dict
from services.errors import BadVideo, Internal, decode
from services.stage import Progress, Request, Result


class Recorder:
    """A runner that does what a test says at each subject, and remembers the order."""

    def __init__(self, **actions: Callable[[], object]) -> None:
        self.started: list[str] = []
        self.cancelled: list[str] = []
        self.at_once = self.most_at_once = 0
        self._actions = actions

    async def run(self, request: Request, *, on_progress: Callable[[Progress], None]) -> Result:
        self.started.append(request.subject)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            on_progress(Progress(1, 2, "frames"))
            action = self._actions.get(request.subject)
            outcome = action() if action else None
            if asyncio.iscoroutine(outcome):
                await outcome
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled.append(request.subject)
            raise
        finally:
            self.at_once -= 1
        return Result(address=f"of-{request.subject}", meta={}, seconds=1.5, cached=request.subject == "cached")


def chain(*names: str) -> list[Node]:
    inputs = [{}, *({"in": Output(name)} for name in names)]
    return [Node(name, "toy", {}, inputs[i]) for i, name in enumerate(names)]


def fail() -> None:
    raise BadVideo("no.")


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def run(nodes: list[Node], runner: Recorder, *, total: int = 8) -> tuple[dict[str, Result], list[NodeEvent]]:
    events: list[NodeEvent] = []
    results = await execute(nodes, runner, Slots(total=total, limits={"toy": total}), on_event=events.append)
    return results, events


async def test_nodes_get_the_addresses_of_what_they_need() -> None:
    results, events = await run(chain("a", "b", "c"), Recorder())
    assert [result.address for result in results.values()] == ["of-a", "of-b", "of-c"]
    assert [event.state for event in events if event.node == "b"] == [
        NodeState.QUEUED, NodeState.RUNNING, NodeState.RUNNING, NodeState.DONE,
    ]  # fmt: skip
    assert events[-1].seconds == 1.5


async def test_nodes_that_do_not_need_each_other_run_at_once() -> None:
    runner = Recorder()
    await run([Node(name, "toy") for name in "abcd"], runner)
    assert runner.most_at_once == 4


async def test_no_more_nodes_run_than_there_are_slots() -> None:
    runner = Recorder()
    await run([Node(name, "toy") for name in "abcdef"], runner, total=2)
    assert runner.most_at_once == 2
    assert len(runner.started) == 6


async def test_stages_without_a_limit_run_one_at_a_time() -> None:
    runner = Recorder()
    await execute([Node(name, "other") for name in "abc"], runner, Slots(total=8), on_event=lambda _: None)
    assert runner.most_at_once == 1


async def test_the_first_failure_cancels_the_rest_and_is_raised() -> None:
    runner = Recorder(bad=fail, slow=forever)
    events: list[NodeEvent] = []
    nodes = [Node("slow", "toy"), *chain("bad", "after")]
    with pytest.raises(BadVideo, match="no"):
        await execute(nodes, runner, Slots(total=8, limits={"toy": 8}), on_event=events.append)
    assert runner.cancelled == ["slow"]
    assert "after" not in runner.started
    failed = [event for event in events if event.state is NodeState.FAILED]
    assert [event.node for event in failed] == ["bad"]
    assert isinstance(decode(failed[0].error), BadVideo)


async def test_a_fault_of_a_runner_becomes_an_internal_error() -> None:
    with pytest.raises(Internal, match="a: ZeroDivisionError"):
        await run(chain("a"), Recorder(a=lambda: 1 // 0))


async def test_cancelling_reaches_every_running_node() -> None:
    runner = Recorder(a=forever, b=forever)
    task = asyncio.create_task(run([Node("a", "toy"), Node("b", "toy")], runner))
    while len(runner.started) < 2:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(runner.cancelled) == ["a", "b"]


async def test_what_was_done_before_is_told_as_cached() -> None:
    _, events = await run(chain("cached"), Recorder())
    assert events[-1].state is NodeState.CACHED


async def test_a_real_plan_runs_every_node_once() -> None:
    file = {"digest": "0" * 64}
    nodes = plan(from_dict({"source": file, "objects": [{"label": label, "mask": file} for label in "abc"]}))
    runner = Recorder()
    results = await execute(nodes, runner, Slots(total=3), on_event=lambda _: None)
    assert sorted(runner.started) == sorted(node.id for node in nodes) == sorted(results)


async def test_a_result_that_is_gone_is_made_again() -> None:
    runner = Recorder()
    answers = iter([False, True])

    async def keep(node: Node, result: Result) -> bool:
        return next(answers)

    await execute(chain("a"), runner, Slots(total=1), on_event=lambda _: None, keep=keep)
    assert runner.started == ["a", "a"]


async def test_a_result_that_never_is_in_the_store_is_an_error() -> None:
    async def keep(node: Node, result: Result) -> bool:
        return False

    with pytest.raises(Internal, match="use the same store"):
        await execute(chain("a"), Recorder(), Slots(total=1), on_event=lambda _: None, keep=keep)
