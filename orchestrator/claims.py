"""Many jobs claim their artifacts at once; one transaction records all claims that have come while the one before was
under way. Nobody waits for company: a claim that is alone goes at once.

Must not know: the store, or what becomes of a claim.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from orchestrator.patience import patiently
from orchestrator.references import Answer, Claim, References

_TOGETHER = 100


class Claims:
    """Claims of this process. Belongs to one event loop."""

    def __init__(self, references: References) -> None:
        self._references = references
        self._waiting: list[tuple[Claim, asyncio.Future[Answer]]] = []
        self._task: asyncio.Task[None] | None = None

    async def claim(self, claim: Claim) -> Answer:
        """See `References.claim`."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((claim, answer))
        if self._task is None:
            self._task = asyncio.create_task(self._record())
        return await answer

    async def _record(self) -> None:
        """Until nobody waits any more."""
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_TOGETHER], self._waiting[_TOGETHER:]
                await self._settle(batch)
        finally:
            self._task = None

    async def _settle(self, batch: Sequence[tuple[Claim, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await patiently(self._references.claim_all, [claim for claim, _ in batch])
        except BaseException as error:
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
            if not isinstance(error, Exception):
                raise
            return
        for claim, answer in batch:
            # Who has been cancelled meanwhile does not hear it; its reference goes with its job.
            if not answer.done():
                answer.set_result(answers[claim])
