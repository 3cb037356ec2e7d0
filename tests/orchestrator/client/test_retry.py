"""Only what may be sent twice is, and only what time may heal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.client import ONCE, Retry
from services.errors import BadInput, Busy, Internal, NotFound, OutOfSpace, Unavailable


@given(st.integers(1, 4), st.floats(0, 1))
def test_pauses_grow_and_are_spread(failures: int, chance: float) -> None:
    pause = Retry().pause(Unavailable("down"), failures, jitter=lambda: chance)
    assert pause == pytest.approx(chance * min(5.0, 0.2 * 2 ** (failures - 1)))


def test_a_client_waits_as_long_as_the_server_asks() -> None:
    pause = Retry().pause(Busy("full", retry_after=15), 1, jitter=lambda: 0.5)
    assert pause == pytest.approx(15.1)
    assert Retry(patience=10).pause(Busy("full", retry_after=15), 1) is None


@pytest.mark.parametrize("error", [BadInput("no"), NotFound("no"), Internal("no"), OutOfSpace("no")])
def test_what_time_does_not_heal_is_not_sent_again(error: Exception) -> None:
    assert Retry().pause(error, 1) is None  # type: ignore[arg-type]


def test_patience_ends() -> None:
    assert Retry(attempts=3).pause(Unavailable("down"), 3) is None
    assert ONCE.pause(Unavailable("down"), 1) is None
