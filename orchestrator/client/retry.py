"""When a client sends a call again, and after how long: only what may be sent twice, and only what time may heal.

Must not know: calls, or how they are sent.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from services.errors import Conflict, OmnimatteError, Unavailable


@dataclass(frozen=True)
class Retry:
    """How patient a client is.

    Attributes:
        attempts: how often a call is sent at most; 1 for once.
        first, longest: seconds of the first pause, and of the longest; each is twice the one before, and a random part
            of it is waited, so that many clients do not come back together.
        patience: no pause longer than this is waited, even if the server asks for it.
    """

    attempts: int = 5
    first: float = 0.2
    longest: float = 5.0
    patience: float = 60.0

    def pause(
        self, error: OmnimatteError, failures: int, *, jitter: Callable[[], float] = random.random
    ) -> float | None:
        """Seconds to wait after so many failures, the latest of which is `error`; None: give up."""
        if not error.retryable or failures >= self.attempts or error.retry_after > self.patience:
            return None
        return error.retry_after + jitter() * min(self.longest, self.first * 2 ** (failures - 1))


PATIENT = Retry()

ONCE = Retry(attempts=1)
"""Never sends a call again."""


def caught_up(error: OmnimatteError) -> OmnimatteError:
    """`error` of an upload under way, as one that time heals if it is: the server may still have been taking in what
    came before the connection broke, and then it wants the rest from another place on."""
    return Unavailable(error.message) if isinstance(error, Conflict) else error
