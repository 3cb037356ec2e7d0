"""A whole plan in one worker: to the executor it looks like any runner."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from orchestrator.execute import NodeEvent, NodeState, PartlyFailed, execute
from orchestrator.plan import Node, Output
from orchestrator.runners.kubernetes.bundle import Bundle
from orchestrator.runners.kubernetes.runner import KubernetesRunner
from orchestrator.slots import UNLIMITED, Slots
from services.errors import BadMask
from services.stage import Result
from tests.orchestrator.runners.kubernetes.conftest import Ground


def node(name: str, *needs: str, **params: Any) -> Node:
    return Node(name, name.partition("/")[0], {"name": name, **params}, {one: Output(one) for one in needs})


def diamond(**params: Any) -> list[Node]:
    """casper, then two omnimattes, then finish."""
    layers = [node(f"omnimatte/{label}", "casper", **params) for label in ("vase", "cup")]
    return [node("casper"), *layers, node("finish", *(one.id for one in layers))]


async def executed(ground: Ground, runner: KubernetesRunner, nodes: list[Node], **more: Any) -> dict[str, Result]:
    bundle = Bundle(nodes, runner=runner, store=ground.store)
    slots = Slots(total=UNLIMITED, places=lambda stage: UNLIMITED)
    events: list[NodeEvent] = more.pop("events", [])
    return await execute(nodes, bundle, slots, on_event=events.append, **more)


async def test_one_worker_does_every_stage(ground: Ground) -> None:
    events: list[NodeEvent] = []
    async with ground.runner() as runner:
        results = await executed(ground, runner, diamond(), events=events)
    assert set(results) == {"casper", "omnimatte/vase", "omnimatte/cup", "finish"}
    assert ground.computed() == [f"{name} step 0" for name in ("casper", "omnimatte/vase", "omnimatte/cup", "finish")]
    (job,) = await ground.hands.jobs()
    assert job["spec"]["completions"] == 1 and job["metadata"]["labels"]["omnimatte.dev/kind"] == "batch"
    done = [event.node for event in events if event.state is NodeState.DONE]
    assert done[0] == "casper" and done[-1] == "finish"
    manifest = ground.store.get(results["finish"].address).manifest
    assert manifest.request["inputs"]["omnimatte/cup"] == results["omnimatte/cup"].address


async def test_whoever_comes_after_a_crash_follows_the_same_worker(ground: Ground) -> None:
    nodes = [node("casper", steps=6, pause=0.3), node("finish", "casper")]
    async with contextlib.AsyncExitStack() as dead:
        runner = await dead.enter_async_context(ground.runner())
        work = asyncio.create_task(executed(ground, runner, nodes))
        while not ground.node.running:
            await asyncio.sleep(0.02)
        runner.leave()
        work.cancel()
        await asyncio.wait([work])
    async with ground.runner() as runner:
        await executed(ground, runner, nodes)
    assert len(ground.node.started) == 1 and len(ground.computed()) == 7


async def test_a_failed_stage_lets_those_go_on_that_do_not_need_it(ground: Ground) -> None:
    nodes = [node("casper"), node("omnimatte/vase", "casper", end="bad"), node("omnimatte/cup", "casper")]
    events: list[NodeEvent] = []
    async with ground.runner() as runner:
        with pytest.raises(PartlyFailed) as partly:
            await executed(ground, runner, nodes, spared=lambda *_: True, events=events)
    assert isinstance(partly.value.failures["omnimatte/vase"], BadMask) and len(partly.value.failures) == 1
    assert "omnimatte/cup" in [event.node for event in events if event.state is NodeState.DONE]


async def test_cancelling_takes_the_worker_along(ground: Ground) -> None:
    async with ground.runner() as runner:
        work = asyncio.create_task(executed(ground, runner, [node("casper", steps=100, pause=0.2)]))
        while not ground.computed():
            await asyncio.sleep(0.02)
        work.cancel()
        await asyncio.wait([work])
        async with asyncio.timeout(10):
            while ground.node.running or await ground.hands.jobs():
                await asyncio.sleep(0.05)
