"""A small storm in every run of the suite; `make proofs` has the large one."""

from __future__ import annotations

import pytest

from tests.proofs.cancel_storm import GRACE, STEP, deadlines, storm


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_cancelled_jobs_end_and_leave_nothing(kind: str) -> None:
    found = storm(kind, jobs=12, seed=3)
    assert set(found.states) <= {"CANCELLED", "SUCCEEDED"} and found.states["CANCELLED"] >= 6
    assert found.left == []
    # No exact promise on a busy machine; the proof prints the figures.
    assert max(found.seconds) < 10 * (STEP + GRACE)


def test_jobs_end_at_their_deadlines() -> None:
    assert all(late > -0.01 for late in deadlines("sqlite", jobs=4))
