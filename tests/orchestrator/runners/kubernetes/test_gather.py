"""Siblings that come within a moment of each other start together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from orchestrator.runners.kubernetes.gather import Gathering
from services.errors import BadOption


class Starts:
    """What was started together."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []

    async def __call__(self, items: Sequence[str]) -> list[str]:
        self.groups.append(list(items))
        await asyncio.sleep(0)
        return [item.upper() for item in items]


async def test_siblings_start_together_and_each_gets_its_own() -> None:
    starts = Starts()
    gathering = Gathering[str, str](starts, seconds=0.05, most=10)
    answers = await asyncio.gather(*(gathering.add(job, item) for job, item in (("1", "a"), ("1", "b"), ("2", "c"))))
    assert answers == ["A", "B", "C"] and sorted(starts.groups) == [["a", "b"], ["c"]]


async def test_a_late_one_starts_by_itself() -> None:
    starts = Starts()
    gathering = Gathering[str, str](starts, seconds=0.02, most=10)
    await gathering.add("1", "a")
    await gathering.add("1", "b")
    assert starts.groups == [["a"], ["b"]]


async def test_a_full_group_does_not_wait() -> None:
    starts = Starts()
    gathering = Gathering[str, str](starts, seconds=60.0, most=2)
    assert await asyncio.gather(*(gathering.add("1", item) for item in "abcd")) == list("ABCD")
    assert starts.groups == [["a", "b"], ["c", "d"]]


async def test_who_is_cancelled_meanwhile_is_left_out() -> None:
    starts = Starts()
    gathering = Gathering[str, str](starts, seconds=0.05, most=10)
    first, second = (asyncio.create_task(gathering.add("1", item)) for item in "ab")
    await asyncio.sleep(0.01)
    first.cancel()
    assert await second == "B" and starts.groups == [["b"]]


async def test_an_error_reaches_each() -> None:
    async def refuse(items: Sequence[str]) -> list[str]:
        raise BadOption("no room; go.")

    gathering = Gathering[str, str](refuse, seconds=0.01, most=10)
    outcomes = await asyncio.gather(*(gathering.add("1", item) for item in "ab"), return_exceptions=True)
    assert [type(one) for one in outcomes] == [BadOption, BadOption]
    assert outcomes[0] is not outcomes[1]


async def test_an_error_that_nobody_waits_for_is_no_noise(recwarn: pytest.WarningsRecorder) -> None:
    async def refuse(items: Sequence[str]) -> list[str]:
        raise BadOption("no room; go.")

    gathering = Gathering[str, str](refuse, seconds=0.01, most=10)
    task = asyncio.create_task(gathering.add("1", "a"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await asyncio.sleep(0.05)
    assert not list(recwarn)
