"""A short run of the request fuzzer; `make fuzz-requests` is the long one."""

from __future__ import annotations

from tests.fuzz.requests import METHODS, fuzz


def test_damaged_requests_are_answered_rightly() -> None:
    outcome = fuzz(count=300, seed=1)
    assert not outcome.faults
    assert {method for method, _ in outcome.answers} == set(METHODS)
