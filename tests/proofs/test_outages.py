"""The shortest of the outages, in every run of the suite; `make proofs` runs them all."""

from __future__ import annotations

import pytest

from tests.proofs import load, outages


@pytest.mark.parametrize("name", ["database_restarted", "replica_killed", "overlapping_deploy"])
def test_jobs_survive(name: str) -> None:
    assert getattr(outages, name)()


def test_the_load_proof_measures_what_it_says() -> None:
    seconds = load.overhead("sqlite", jobs=3, shortest=0.2, longest=0.4)
    assert len(seconds) == 3 and all(0 < value < 60 for value in seconds)
    assert len(load.queued("sqlite", jobs=20)) == 21
    before, after = load.memory("sqlite", first=2, jobs=2)
    assert before > 10 and after > 10
