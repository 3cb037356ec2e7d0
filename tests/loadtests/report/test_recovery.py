"""Overload, recovery and growth, told from what was written down."""

from __future__ import annotations

import numpy as np
import pytest

from loadtests.report.recovery import calm_after, capacity, overload, recoveries
from loadtests.report.slopes import slopes, theil_sen, worst
from tests.loadtests.report.made import record, sample, written

BURST = {"start": 50.0, "length": 100.0, "rate": 0.1, "peak": 2.0}


def test_goodput_is_told_from_what_the_busiest_places_could_do() -> None:
    # Casper: 2 s a job on two places, so one job a second.
    jobs = [record(i, due=float(i), latency=4.0) for i in range(200)]
    refused = [record(1000 + i, due=60.0 + i, latency=0.0, outcome="refused", retry_after=i % 2) for i in range(10)]
    ages = [sample(float(t), age=10.0 if 60 <= t < 170 else 0.0) for t in range(200)]
    run = written([*jobs, *refused], ages, duration=200.0)
    assert capacity(run) == pytest.approx(1.0)
    figures = overload(run, BURST)
    assert figures["goodput"] == pytest.approx(1.0, abs=0.02)
    assert figures["hinted"] == 0.5
    assert figures["recovery_seconds"] == pytest.approx(20.0)


def test_a_queue_that_never_calms_has_no_recovery() -> None:
    run = written([], [sample(float(t), age=float(t)) for t in range(100)])
    assert calm_after(run, 50.0, normal=2.0) is None


def test_each_blow_has_its_recovery() -> None:
    jobs = [record(i, due=float(i), latency=1.0) for i in range(40)] + [record(99, due=45.0, latency=7.0)]
    run = written(jobs, [sample(float(t), age=8.0 if 42 < t < 50 else 0.0) for t in range(100)])
    [blow] = recoveries(run, [(42.0, "node lost")])
    assert blow["next_job_seconds"] == 10.0
    assert blow["calm_seconds"] == pytest.approx(8.0, abs=1.0)


def test_a_slope_is_found_under_outliers() -> None:
    rng = np.random.default_rng(0)
    points = [(float(t), 5.0 + 0.01 * t + float(rng.normal(0, 0.2))) for t in range(1000)]
    points[100] = (100.0, 900.0)
    assert theil_sen(points) == pytest.approx(0.01, rel=0.1)


def test_what_grows_is_told_by_the_hour() -> None:
    samples = [sample(float(t), memory=100e6 * (1 + t / 36000)) for t in range(1000)]
    found = slopes(written([], samples, duration=1000.0))
    # A tenth an hour, of a middle value somewhat above the first.
    assert found["load-0"]["memory_percent"] == pytest.approx(10.0, rel=0.05)
    assert found["load-0"]["files"] == 0.0
    assert worst(found, "memory_percent") == found["load-0"]["memory_percent"]
