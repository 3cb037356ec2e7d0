"""How a plan is run: order, failure, cancellation, and what is told meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from orchestrator.execute import NodeEvent, NodeState, Retries, execute
from orchestrator.observe.metrics import Metrics
from orchestrator.plan import Node, Output, plan
from orchestrator.slots import Slots, fixed
from orchestrator.spec import from_dict
from services.errors import BadVideo, Internal, Unavailable, decode
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


SOON = Retries(attempts=3, first=0.001, longest=0.002)


async def run(nodes: list[Node], runner: Recorder, *, total: int = 8) -> tuple[dict[str, Result], list[NodeEvent]]:
    events: list[NodeEvent] = []
    slots = Slots(total=total, places=fixed({"toy": total}))
    results = await execute(nodes, runner, slots, on_event=events.append, retries=SOON)
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
        await execute(nodes, runner, Slots(total=8, places=fixed({"toy": 8})), on_event=events.append)
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


async def test_a_stage_out_of_reach_is_tried_again_alone() -> None:
    failures = iter([Unavailable("gone."), Unavailable("still gone.")])

    def lost_twice() -> None:
        error = next(failures, None)
        if error is not None:
            raise error

    runner = Recorder(b=lost_twice)
    results, events = await run(chain("a", "b", "c"), runner)
    assert runner.started == ["a", "b", "b", "b", "c"] and set(results) == {"a", "b", "c"}
    told = [(event.state, event.note) for event in events if event.node == "b"]
    waits = [note for state, note in told if state is NodeState.QUEUED and note]
    assert waits == ["again in 0.001 s (1): gone.", "again in 0.002 s (2): still gone."]
    assert told[-1][0] is NodeState.DONE


async def test_a_stage_that_stays_out_of_reach_fails_the_job() -> None:
    def lost() -> None:
        raise Unavailable("gone for good.")

    runner = Recorder(a=lost)
    with pytest.raises(Unavailable, match="gone for good"):
        await run(chain("a", "b"), runner)
    assert runner.started == ["a"] * SOON.attempts


async def test_bad_input_is_not_tried_again() -> None:
    runner = Recorder(a=fail)
    with pytest.raises(BadVideo):
        await run(chain("a"), runner)
    assert runner.started == ["a"]


async def test_waiting_for_another_attempt_can_be_cancelled_and_holds_no_slot() -> None:
    lost = asyncio.Event()

    def once() -> None:
        if not lost.is_set():
            lost.set()
            raise Unavailable("gone.")

    runner = Recorder(a=once)
    slow = Retries(attempts=2, first=60, longest=60)
    work = asyncio.create_task(
        execute([Node("a", "toy"), Node("b", "toy")], runner, Slots(total=1), on_event=lambda _: None, retries=slow)
    )
    while "b" not in runner.started:
        await asyncio.sleep(0.001)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work


def test_pauses_grow_up_to_a_limit() -> None:
    assert [Retries(first=1, longest=5).pause(n) for n in range(1, 5)] == [1, 2, 4, 5]


def test_retries_are_counted_and_nothing_stays_in_flight() -> None:
    metrics = Metrics()
    observe = metrics.observer()
    for state in (NodeState.QUEUED, NodeState.RUNNING, NodeState.QUEUED, NodeState.RUNNING, NodeState.DONE):
        observe(NodeEvent("ssr/background", "ssr", state))
    value = metrics.registry.get_sample_value
    assert value("omnimatte_stage_retries_total", {"stage": "ssr"}) == 1
    assert value("omnimatte_stages_in_flight", {"stage": "ssr"}) == 0


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
