"""How many stage runs may be under way at once, and who waits for a place: the orchestrator's own queue.

What does not fit waits here, where it can be seen and cancelled, and not in the stage servers' queues.
Must not know: what runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

Places = Callable[[str], int]
"""Runs of a stage that may be under way at once, as things stand now."""

UNLIMITED = 1 << 30


def fixed(limits: Mapping[str, int]) -> Places:
    """The same at all times; one for a stage that is not in `limits`."""
    return lambda stage: limits.get(stage, 1)


@dataclass(frozen=True)
class Waiting:
    """runs: that wait for a place. oldest: seconds that the first of them has."""

    runs: int
    oldest: float


@dataclass(eq=False)
class _Ticket:
    """A run that waits. Granted once; then it must be given back."""

    number: int
    since: float
    granted: asyncio.Event = field(default_factory=asyncio.Event)


class Slots:
    """Places for stage runs, over all jobs of this process. Belongs to one event loop."""

    def __init__(self, *, total: int, places: Places | None = None) -> None:
        """`total` runs of all stages, and of each stage what `places` says, or one."""
        self._total = total
        self._places = places or fixed({})
        self._used: Counter[str] = Counter()
        self._waiting: dict[str, deque[_Ticket]] = {}
        self._tickets = 0

    @contextlib.asynccontextmanager
    async def taken(self, stage: str) -> AsyncIterator[None]:
        """A place for the length of the block; who asks first is served first."""
        self._tickets += 1
        ticket = _Ticket(self._tickets, time.monotonic())
        self._waiting.setdefault(stage, deque()).append(ticket)
        self.admit()
        try:
            await ticket.granted.wait()
        except asyncio.CancelledError:
            if ticket.granted.is_set():
                self._give_back(stage)
            else:
                self._waiting[stage].remove(ticket)
            raise
        try:
            yield
        finally:
            self._give_back(stage)

    def admit(self) -> None:
        """Let in who fits: call it when there are more places than there were."""
        while sum(self._used.values()) < self._total:
            # A run that waits for its stage must not hold back those of others.
            free = [
                (queue[0].number, stage)
                for stage, queue in self._waiting.items()
                if queue and self._used[stage] < self._places(stage)
            ]
            if not free:
                return
            _, stage = min(free)
            self._used[stage] += 1
            self._waiting[stage].popleft().granted.set()

    def waiting(self) -> dict[str, Waiting]:
        """By stage, also those for which nobody waits any more."""
        now = time.monotonic()
        return {
            stage: Waiting(len(queue), now - queue[0].since if queue else 0.0) for stage, queue in self._waiting.items()
        }

    def _give_back(self, stage: str) -> None:
        self._used[stage] -= 1
        self.admit()
