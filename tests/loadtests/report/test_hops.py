"""Hops: the parts of a job add up to what its client waited, along the chain that decided its length."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.report.hops import HOPS, JobHops, hops_of
from tests.loadtests.report.made import BEGAN, Trace, record


def traced(*, waited: float = 0.0, stored: float = 0.0) -> JobHops:
    """Ingest, two runs of Casper beside each other, finish; the second Casper decides."""
    trace = Trace("7")
    trace.add("omnimatte.v1.Omnimatte/CreateJob", 1.05, 1.08)
    trace.add("queued", 1.08, 1.2)
    trace.add("attempt", 1.2, 9.1, omnimatte_dot_job="7")
    trace.stage("ingest", 1.3, 2.3)
    trace.stage("casper", 2.4, 4.0)
    trace.stage("casper", 2.4 + waited, 6.0, waited=waited, stored=stored)
    trace.stage("finish", 6.1, 9.0)
    job = record(7, due=1.0, latency=8.5, calls={"Upload": 0.05, "CreateJob": 0.04}, created=1.08, heard=9.5)
    [found] = hops_of([job], trace.spans, began=BEGAN)
    return found


def test_the_hops_of_a_job_add_up_to_its_latency() -> None:
    job = traced(waited=0.5, stored=0.2)
    assert set(job.seconds) == set(HOPS)
    assert sum(job.seconds.values()) == pytest.approx(job.total) == pytest.approx(8.5)


def test_each_hop_is_what_it_says() -> None:
    job = traced(waited=0.5, stored=0.2)
    seconds = {name: round(value, 3) for name, value in job.seconds.items()}
    # Three runs of the chain; the shorter Casper beside it counts nowhere.
    assert seconds["compute"] == pytest.approx((1.0 - 0.05) + (3.1 - 0.05 - 0.2) + (2.9 - 0.05))
    assert seconds["store"] == 0.2
    assert seconds["triton"] == pytest.approx(3 * 0.02)
    assert seconds["load"] == pytest.approx(3 * 0.01)
    assert seconds["place"] == 0.5
    assert seconds["queue"] == pytest.approx(0.12)
    assert seconds["dispatch"] == pytest.approx(0.1 + 0.1 + 0.1)
    assert seconds["end"] == pytest.approx(0.5)


def test_waiting_for_others_is_no_overhead() -> None:
    idle, busy = traced(), traced(waited=0.5)
    assert busy.waiting - idle.waiting == pytest.approx(0.5)
    assert busy.total == idle.total
    # Dispatch, the way to the stages, publishing, the ends: the same with and without.
    assert busy.overhead == pytest.approx(idle.overhead)


@given(st.floats(0, 3), st.floats(0, 0.4))
def test_no_part_is_negative(waited: float, stored: float) -> None:
    job = traced(waited=waited, stored=stored)
    assert all(value >= -1e-6 for value in job.seconds.values())
    assert sum(job.seconds.values()) == pytest.approx(job.total)


def test_jobs_whose_spans_are_incomplete_are_left_out() -> None:
    job = record(8, due=1.0, latency=5.0)
    assert hops_of([job], [], began=BEGAN) == []
    trace = Trace("8")
    trace.add("attempt", 1.2, 3.0, omnimatte_dot_job="8")
    assert hops_of([job], trace.spans, began=BEGAN) == []
