"""Stage runs as Kubernetes Jobs: with a real protocol, real worker processes, and everything that goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.runners.kubernetes.api import JOBS
from orchestrator.runners.kubernetes.reconcile import Sweeper
from services.errors import BadMask, Internal, PermissionDenied, Unavailable
from services.stage import Progress, Request, Result
from tests.orchestrator.runners.kubernetes.conftest import Figures, Ground, needs_our_server

Told = Callable[..., Request]


def nothing(_: Progress) -> None:
    pass


async def until(condition: Callable[[], Any], *, seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            await asyncio.sleep(0.02)


async def test_shards_of_one_job_share_an_indexed_job(ground: Ground, told: Told) -> None:
    figures = Figures()
    async with ground.runner(figures=figures) as runner:
        results = await asyncio.gather(*(runner.run(told(name), on_progress=nothing) for name in "abc"))
    assert [result.meta["name"] for result in results] == ["a", "b", "c"]
    jobs = await ground.hands.jobs()
    assert [job["spec"]["completions"] for job in jobs] == [3]
    assert jobs[0]["metadata"]["labels"]["omnimatte.dev/job"] == "job-1"
    assert sorted(ground.computed()) == ["a step 0", "b step 0", "c step 0"]
    assert len(figures.overheads) == 3
    # One create for all of them, one list of each kind, two watches.
    assert len(figures.calls) <= 10 * 3


async def test_progress_of_a_worker_is_told(ground: Ground, told: Told) -> None:
    heard: list[Progress] = []
    async with ground.runner() as runner:
        await runner.run(told("a", steps=4, pause=0.6), on_progress=heard.append)
    assert {(one.total, one.note) for one in heard if one.total} == {(4, "steps")}
    assert [one.done for one in heard if one.total] == sorted(one.done for one in heard if one.total)


async def test_a_finished_shard_is_found_again_without_a_new_job(ground: Ground, told: Told) -> None:
    async with ground.runner() as runner:
        first = await runner.run(told("a"), on_progress=nothing)
        second = await runner.run(told("a", job="job-2"), on_progress=nothing)
    assert first.address == second.address
    assert ground.computed() == ["a step 0"]
    assert len(await ground.hands.jobs()) == 1


async def test_what_was_deleted_from_the_store_is_made_again(ground: Ground, told: Told) -> None:
    async with ground.runner() as runner:
        first = await runner.run(told("a"), on_progress=nothing)
        ground.store.delete(first.address)
        second = await runner.run(told("a"), on_progress=nothing)
    assert ground.store.find(second.address) is not None
    assert ground.computed() == ["a step 0", "a step 0"]


async def test_a_bad_input_fails_its_index_at_once_and_the_others_go_on(ground: Ground, told: Told) -> None:
    async with ground.runner() as runner:
        bad, good = await asyncio.gather(
            runner.run(told("bad", end="bad"), on_progress=nothing),
            runner.run(told("good", steps=3, pause=0.2), on_progress=nothing),
            return_exceptions=True,
        )
    assert isinstance(bad, BadMask) and bad.message == "the mask is empty; draw one."
    assert isinstance(good, Result)
    assert ground.computed().count("bad ends") == 1
    await until(lambda: sorted(ground.node.codes.values()) == [0, 65])


async def test_a_worker_that_crashes_is_tried_again(ground: Ground, told: Told) -> None:
    async with ground.runner() as runner:
        result = await runner.run(told("a", end="crash", times=1, steps=2), on_progress=nothing)
    assert result.meta["name"] == "a"
    # It went on from its checkpoint.
    assert ground.computed() == ["a step 0", "a step 1", "a ends"]
    await until(lambda: sorted(ground.node.codes.values()) == [0, 139])


async def test_a_fault_of_ours_fails_the_shard_after_its_retries(ground: Ground, told: Told) -> None:
    async with ground.runner() as runner:
        with pytest.raises(Internal, match="nobody has thought of this"):
            await runner.run(told("a", end="unthought"), on_progress=nothing)
    assert ground.computed().count("a ends") == ground.settings.retries + 1


async def test_a_worker_that_leaves_no_word_fails_with_its_exit_status(ground: Ground, told: Told) -> None:
    async with ground.runner() as runner:
        with pytest.raises(Internal, match="ended with status 139 each time; see the log of pod omnimatte-"):
            await runner.run(told("a", end="crash"), on_progress=nothing)


async def test_an_evicted_worker_goes_on_elsewhere_from_its_checkpoint(ground: Ground, told: Told) -> None:
    async with ground.runner() as runner:
        work = asyncio.create_task(runner.run(told("a", steps=8, pause=0.3), on_progress=nothing))
        for evictions in range(1, 4):
            # More often than it may be retried: evictions do not count.
            made = len(ground.computed())
            await until(lambda n=evictions, m=made: len(ground.node.started) == n and len(ground.computed()) > m)
            ground.node.evict(ground.node.running[0])
            await until(lambda n=evictions: len(ground.node.started) == n + 1)
        await work
    # At most the step that was under way is made twice.
    steps = ground.computed()
    assert sorted(set(steps)) == [f"a step {i}" for i in range(8)]
    assert len(steps) <= 8 + 3
    assert list(ground.node.codes.values())[:3] == [75, 75, 75]


async def test_who_is_cancelled_takes_the_job_along(ground: Ground, told: Told) -> None:
    async with ground.runner() as runner:
        work = [asyncio.create_task(runner.run(told(name, steps=100, pause=0.2), on_progress=nothing)) for name in "ab"]
        await until(lambda: len(ground.node.running) == 2 and len(ground.computed()) >= 2)
        for task in work:
            task.cancel()
        await asyncio.wait(work)
        await until(lambda: not ground.node.running, seconds=5)
    assert await ground.hands.jobs() == []
    await until(lambda: _none(ground.hands.pods()), seconds=5)


async def _none(listing: Any) -> bool:
    return not await listing


async def test_a_job_stays_while_another_waits_for_it(ground: Ground, told: Told) -> None:
    async with ground.runner() as runner:
        first, second = (
            asyncio.create_task(runner.run(told("a", job=job, steps=5, pause=0.3), on_progress=nothing))
            for job in ("job-1", "job-1")
        )
        await until(lambda: ground.node.running)
        first.cancel()
        await asyncio.wait([first])
        assert (await second).meta["name"] == "a"
    assert len(ground.node.started) == 1


async def test_an_orchestrator_that_stops_in_order_leaves_its_jobs_to_the_next(ground: Ground, told: Told) -> None:
    async with ground.runner() as runner:
        work = asyncio.create_task(runner.run(told("a", steps=5, pause=0.3), on_progress=nothing))
        await until(lambda: ground.node.running)
        runner.leave()
        work.cancel()
        await asyncio.wait([work])
    async with ground.runner() as runner:
        await runner.run(told("a", steps=5, pause=0.3), on_progress=nothing)
    assert len(ground.node.started) == 1
    assert len(ground.computed()) == 5


async def test_an_orchestrator_that_dies_between_create_and_answer_finds_its_job(ground: Ground, told: Told) -> None:
    """Nothing is recorded on our side: whatever was created is found by what it is about."""
    async with contextlib.AsyncExitStack() as dead:
        runner = await dead.enter_async_context(ground.runner())
        work = [asyncio.create_task(runner.run(told(name, steps=5, pause=0.3), on_progress=nothing)) for name in "ab"]
        await until(lambda: ground.node.running)
        runner.leave()
        for task in work:
            task.cancel()
    async with ground.runner() as runner:
        # In another order and not together: each finds its own index.
        await runner.run(told("b", steps=5, pause=0.3), on_progress=nothing)
        await runner.run(told("a", steps=5, pause=0.3), on_progress=nothing)
    assert len(await ground.hands.jobs()) == 1
    assert sorted(ground.computed()) == sorted(f"{name} step {i}" for name in "ab" for i in range(5))


@needs_our_server
async def test_a_create_whose_answer_is_lost_attaches_to_what_it_made(ground: Ground, told: Told) -> None:
    assert ground.server is not None
    ground.server.lose_answers = 1
    async with ground.runner() as runner:
        with pytest.raises(Unavailable):
            await runner.run(told("a", steps=3, pause=0.2), on_progress=nothing)
        # As the executor does with what is out of reach.
        await runner.run(told("a", steps=3, pause=0.2), on_progress=nothing)
    assert len(ground.server.of("jobs")) == 1
    assert len(ground.computed()) == 3


@needs_our_server
async def test_two_orchestrators_that_create_the_same_run_share_it(ground: Ground, told: Told) -> None:
    async with ground.runner() as one, ground.runner() as other:
        results = await asyncio.gather(
            *(runner.run(told("a", steps=3, pause=0.1), on_progress=nothing) for runner in (one, other))
        )
    assert results[0].address == results[1].address
    assert len(ground.computed()) == 3
    assert ground.server is not None
    assert len(ground.server.of("jobs")) == 1


@needs_our_server
async def test_a_server_that_restarts_mid_watch_is_watched_again(ground: Ground, told: Told) -> None:
    assert ground.server is not None
    figures = Figures()
    async with ground.runner(figures=figures) as runner:
        work = asyncio.create_task(runner.run(told("a", steps=8, pause=0.3), on_progress=nothing))
        await until(lambda: ground.node.running)
        await ground.server.stop()
        await asyncio.sleep(0.5)
        await ground.server.start()
        assert (await work).meta["name"] == "a"
    assert figures.restarts
    assert len(ground.node.started) == 1


@needs_our_server
async def test_a_watch_that_is_too_old_lists_again_and_misses_nothing(ground: Ground, told: Told) -> None:
    assert ground.server is not None
    figures = Figures()
    async with ground.runner(figures=figures) as runner:
        work = asyncio.create_task(runner.run(told("a", steps=8, pause=0.3), on_progress=nothing))
        await until(lambda: ground.node.running)
        await until(lambda: figures.restarts == 0 and ground.server is not None and ground.server.watches >= 2)
        ground.server.forget()
        await until(lambda: figures.restarts >= 1)
        job = (await ground.hands.jobs())[0]["metadata"]
        await ground.hands.delete(job["name"], uid=job["uid"])
        with pytest.raises(Unavailable, match="was deleted; another one is made"):
            await work


@needs_our_server
async def test_a_server_that_refuses_for_a_while_is_asked_again(ground: Ground, told: Told) -> None:
    assert ground.server is not None
    answers = iter([(500, "etcd is slow"), (429, "too many requests")])
    ground.server.refuse = lambda verb, plural, body: next(answers, None) if verb == "list" else None
    async with ground.runner() as runner:
        await runner.run(told("a"), on_progress=nothing)


@needs_our_server
async def test_no_permission_to_create_jobs_is_said_at_once(ground: Ground, told: Told) -> None:
    assert ground.server is not None
    ground.server.refuse = lambda verb, plural, body: (403, "jobs.batch is forbidden") if verb == "create" else None
    async with ground.runner() as runner:
        with pytest.raises(PermissionDenied, match=r"jobs\.batch is forbidden.*the Role of the chart"):
            await runner.run(told("a"), on_progress=nothing)
    assert list(ground.store.listed("staging")) == []


@needs_our_server
async def test_no_permission_to_list_is_said_within_a_minute(ground: Ground, told: Told) -> None:
    assert ground.server is not None
    ground.server.refuse = lambda verb, plural, body: (403, "jobs.batch is forbidden") if verb == "list" else None
    async with ground.runner() as runner:
        with pytest.raises(PermissionDenied, match="forbidden"):
            async with asyncio.timeout(60):
                await runner.run(told("a"), on_progress=nothing)


@needs_our_server
async def test_a_quota_on_jobs_is_out_of_reach_for_now(ground: Ground, told: Told) -> None:
    assert ground.server is not None
    text = "exceeded quota: gpus, requested: count/jobs.batch=1, used: 4, limited: 4"
    ground.server.refuse = lambda verb, plural, body: (403, text) if verb == "create" and plural == "jobs" else None
    async with ground.runner() as runner:
        with pytest.raises(Unavailable, match="quota leaves no room for a worker"):
            await runner.run(told("a"), on_progress=nothing)


UNSCHEDULABLE = {
    "phase": "Pending",
    "conditions": [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
        }
    ],
}
NO_IMAGE = {
    "phase": "Pending",
    "containerStatuses": [
        {
            "name": "worker",
            "image": "example.invalid/omnimatte:1",
            "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}},
        }
    ],
}


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (UNSCHEDULABLE, "no node has room for a worker: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu."),
        (NO_IMAGE, "the worker cannot start: ImagePullBackOff example.invalid/omnimatte:1: Back-off pulling image"),
    ],
)
async def test_why_no_worker_starts_is_told_and_it_goes_on_when_it_can(
    ground: Ground, told: Told, status: dict[str, Any], said: str
) -> None:
    ground.node.hold = lambda pod: status
    heard: list[str] = []
    async with ground.runner() as runner:
        work = asyncio.create_task(runner.run(told("a"), on_progress=lambda one: heard.append(one.note)))
        await until(lambda: said in heard, seconds=10)
        ground.node.hold = lambda pod: None
        await work


@needs_our_server
async def test_a_quota_on_pods_is_told(ground: Ground, told: Told) -> None:
    assert ground.server is not None
    server = ground.server
    server.refuse = lambda verb, plural, body: (403, "exceeded quota") if (verb, plural) == ("create", "pods") else None
    heard: list[str] = []
    async with ground.runner() as runner:
        work = asyncio.create_task(runner.run(told("a"), on_progress=lambda one: heard.append(one.note)))
        await until(lambda: server.of("jobs"))
        # What the real controller says in an event.
        event = {
            "metadata": {"name": "a.1"},
            "type": "Warning",
            "reason": "FailedCreate",
            "message": 'Error creating: pods "a" is forbidden: exceeded quota: gpus',
            "involvedObject": {"kind": "Job", "name": server.of("jobs")[0]["metadata"]["name"]},
        }
        server.put("events", ground.settings.namespace, event)
        await until(lambda: any("the cluster makes no worker" in one and "quota" in one for one in heard), seconds=30)
        server.refuse = lambda verb, plural, body: None
        await work


async def test_jobs_of_jobs_that_are_over_are_removed_and_others_stay(ground: Ground, told: Told) -> None:
    async with ground.runner() as dead:
        work = [
            asyncio.create_task(dead.run(told(job, job=job, steps=100, pause=0.2), on_progress=nothing))
            for job in ("over", "living")
        ]
        await until(lambda: len(ground.node.running) == 2)
        dead.leave()
        for task in work:
            task.cancel()
    async with ground.runner() as runner:
        board = runner._board
        await board.ready()
        alive, followed = (lambda jobs: set(jobs) & {"living"}), (lambda: ())
        patient = Sweeper(ground.hands, board, alive=alive, followed=followed)
        assert await patient.sweep() == [] and await patient.sweep() == []
        hasty = Sweeper(ground.hands, board, alive=alive, followed=followed, patience=0.0)
        assert len(await hasty.sweep()) == 1
        await until(lambda: len(ground.node.running) == 1)
    assert [job["metadata"]["labels"]["omnimatte.dev/job"] for job in await ground.hands.jobs()] == ["living"]


@needs_our_server
async def test_an_ended_job_leaves_nothing_when_it_is_collected(ground: Ground, told: Told) -> None:
    object.__setattr__(ground.settings, "ttl_seconds", 1)
    async with ground.runner() as runner:
        await runner.run(told("a"), on_progress=nothing)
        assert list(ground.store.listed("staging"))
        await until(lambda: not list(ground.store.listed("staging")), seconds=10)
    assert await ground.hands.jobs() == []


@needs_our_server
async def test_jobs_belong_to_what_made_the_orchestrators_pod(ground: Ground, told: Told) -> None:
    assert ground.server is not None
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "omnimatte", "uid": "u-1", "controller": True}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "omnimatte-0", "ownerReferences": [owner]}}
    ground.server.put("pods", ground.settings.namespace, {**pod, "status": {"phase": "Running"}})
    # The test's garbage collector knows Jobs only.
    async with ground.runner(pod="omnimatte-0") as runner:
        await runner.run(told("a"), on_progress=nothing)
    (job,) = await ground.hands.jobs()
    wanted = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "omnimatte", "uid": "u-1"}
    assert job["metadata"]["ownerReferences"] == [wanted]


@needs_our_server
async def test_a_list_from_before_a_job_was_made_does_not_make_it_gone(ground: Ground, told: Told) -> None:
    gone: list[str] = []
    async with ground.runner() as runner:
        board = runner._board
        await board.ready()
        board.when_gone(lambda job: gone.append(job["metadata"]["name"]))
        before = await ground.hands.list(JOBS, selector="")
        work = asyncio.create_task(runner.run(told("a", steps=5, pause=0.2), on_progress=nothing))
        await until(lambda: board.jobs)
        board._replace(JOBS, before.items, before.version)
        assert gone == [] and len(board.jobs) == 1
        await work
    assert len(ground.node.started) == 1
