"""Claims that come together are recorded together; each hears its own answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from orchestrator.claims import Claims
from orchestrator.db import Database
from orchestrator.references import Answer, Claim, References, Role
from services.artifacts import digest


class Counted(References):
    """Tells how many claims each transaction had, and waits to be let go."""

    def __init__(self, engine: sa.Engine) -> None:
        super().__init__(engine)
        self.batches: list[int] = []
        self.go = threading.Event()
        self.go.set()
        self.fails: Exception | None = None

    def claim_all(self, claims: Sequence[Claim]) -> dict[Claim, Answer]:
        self.batches.append(len(claims))
        self.go.wait()
        if self.fails is not None:
            raise self.fails
        return super().claim_all(claims)


@pytest.fixture
def references(tmp_path: Path) -> Counted:
    return Counted(Database(f"sqlite:///{tmp_path / 'db.sqlite'}").engine)


def wish(number: int, *, job: str = "job") -> Claim:
    return Claim(f"{job}-{number}", digest(number), Role.INTERMEDIATE)


async def test_what_comes_while_one_is_under_way_goes_together(references: Counted) -> None:
    claims = Claims(references)
    references.go.clear()
    first = asyncio.create_task(claims.claim(wish(0)))
    await asyncio.sleep(0.1)
    others = [asyncio.create_task(claims.claim(wish(number))) for number in range(1, 8)]
    await asyncio.sleep(0.1)
    references.go.set()
    assert await asyncio.gather(first, *others) == [Answer.HELD] * 8
    assert references.batches == [1, 7]
    # And again, after everybody had an answer.
    assert await claims.claim(wish(9)) is Answer.HELD


async def test_a_doomed_artifact_is_nobody_elses_matter(references: Counted) -> None:
    claims = Claims(references)
    assert references.doom(digest(1), unused_since=1e12)
    answers = await asyncio.gather(claims.claim(wish(1)), claims.claim(wish(2)))
    assert answers == [Answer.DOOMED, Answer.HELD]
    assert not references.doom(digest(2), unused_since=-1.0)


async def test_who_is_cancelled_leaves_the_others_their_answers(references: Counted) -> None:
    claims = Claims(references)
    references.go.clear()
    work = [asyncio.create_task(claims.claim(wish(number))) for number in range(3)]
    await asyncio.sleep(0.1)
    work[1].cancel()
    await asyncio.sleep(0)
    references.go.set()
    assert await work[0] is Answer.HELD and await work[2] is Answer.HELD
    assert work[1].cancelled()


async def test_a_failure_reaches_all_who_waited_and_nobody_after_them(references: Counted) -> None:
    claims = Claims(references)
    references.fails = ValueError("no such table")
    failed = await asyncio.gather(*(claims.claim(wish(number)) for number in range(3)), return_exceptions=True)
    assert [type(one) for one in failed] == [ValueError] * 3
    references.fails = None
    assert await claims.claim(wish(4)) is Answer.HELD
