"""Places for stage runs: never too many, first come first served, and none is ever lost."""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.slots import Slots, fixed


async def hold(slots: Slots, stage: str, log: list[str], release: asyncio.Event, name: str = "") -> None:
    async with slots.taken(stage):
        log.append(name or stage)
        await release.wait()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@settings(deadline=None, max_examples=100)
@given(
    total=st.integers(1, 5),
    limits=st.dictionaries(st.sampled_from("abc"), st.integers(1, 4)),
    runs=st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=20),
)
def test_there_are_never_more_than_places_and_none_is_lost(
    total: int, limits: dict[str, int], runs: list[tuple[str, bool]]
) -> None:
    """Each run is cancelled or not, at moments that interleave with the others'."""

    async def main() -> None:
        slots, used, most = Slots(total=total, places=fixed(limits)), Counter[str](), Counter[str]()

        async def one(stage: str, steps: int) -> None:
            async with slots.taken(stage):
                used[stage] += 1
                assert used[stage] <= limits.get(stage, 1) and sum(used.values()) <= total
                most[stage] = max(most[stage], used[stage])
                for _ in range(steps):
                    await asyncio.sleep(0)
                used[stage] -= 1

        async def cancelled_sometime(stage: str, cancelled: bool, number: int) -> None:
            task = asyncio.create_task(one(stage, number % 3))
            if cancelled:
                for _ in range(number % 4):
                    await asyncio.sleep(0)
                if not used[stage]:
                    task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()

        await asyncio.gather(*(cancelled_sometime(*run, number) for number, run in enumerate(runs)))
        # Whatever happened, all places are free again.
        async with asyncio.timeout(5):
            for stage in "abc":
                await one(stage, 0)

    asyncio.run(main())


async def test_who_asks_first_is_served_first() -> None:
    slots, log = Slots(total=1), list[str]()
    gates = [asyncio.Event() for _ in range(4)]
    tasks = [asyncio.create_task(hold(slots, "a", log, gate, str(i))) for i, gate in enumerate(gates)]
    for i, gate in enumerate(gates):
        await settled()
        assert log == [str(one) for one in range(i + 1)]
        gate.set()
    await asyncio.wait(tasks)


async def test_a_stage_without_a_place_does_not_hold_back_the_others() -> None:
    slots, log, release = Slots(total=2, places=fixed({"a": 1, "b": 1})), list[str](), asyncio.Event()
    tasks = [asyncio.create_task(hold(slots, stage, log, release)) for stage in ("a", "a", "b")]
    await settled()
    assert sorted(log) == ["a", "b"]
    release.set()
    await asyncio.wait(tasks)


async def test_new_places_are_taken_as_soon_as_they_are_looked_at() -> None:
    there = 0
    slots, log, release = Slots(total=8, places=lambda stage: there), list[str](), asyncio.Event()
    tasks = [asyncio.create_task(hold(slots, "casper", log, release)) for _ in range(3)]
    await settled()
    assert log == [] and slots.waiting()["casper"].runs == 3
    there = 2
    slots.admit()
    await settled()
    assert len(log) == 2 and slots.waiting()["casper"].runs == 1
    assert slots.waiting()["casper"].oldest >= 0.0
    release.set()
    await asyncio.wait(tasks)
    assert slots.waiting()["casper"].runs == 0


async def test_cancelled_at_the_moment_of_being_let_in_gives_the_place_on() -> None:
    slots, log = Slots(total=1), list[str]()
    first, second, third = (asyncio.Event() for _ in range(3))
    holder = asyncio.create_task(hold(slots, "a", log, first, "1"))
    await settled()
    waiting = asyncio.create_task(hold(slots, "a", log, second, "2"))
    last = asyncio.create_task(hold(slots, "a", log, third, "3"))
    await settled()
    first.set()
    await asyncio.wait([holder])
    # The second has been granted its place, and has not run yet.
    waiting.cancel()
    await asyncio.wait([waiting])
    await settled()
    assert log[-1] == "3"
    third.set()
    await last
