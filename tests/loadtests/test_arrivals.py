"""Arrivals: of the rate that was asked for, sorted, within the run, and the same for the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.arrivals import Arrivals, Burst, Diurnal, Poisson, Replay
from services.errors import BadOption

PROCESSES = st.one_of(
    st.builds(Poisson, rate=st.floats(0, 20)),
    st.builds(Diurnal, low=st.floats(0, 3), high=st.floats(3, 20), period=st.floats(1, 1000)),
    st.builds(Burst, rate=st.floats(0, 5), peak=st.floats(0, 20), start=st.floats(0, 50), length=st.floats(0, 50)),
)


@given(PROCESSES, st.integers(0, 2**31), st.floats(1, 100))
def test_times_are_sorted_within_the_run_and_repeat(process: Arrivals, seed: int, duration: float) -> None:
    times = process.times(duration, np.random.default_rng(seed))
    assert np.all(np.diff(times) >= 0)
    assert np.all((times >= 0) & (times < duration))
    assert np.array_equal(times, process.times(duration, np.random.default_rng(seed)))


@pytest.mark.parametrize(
    "process",
    [Poisson(rate=3.0), Diurnal(low=1.0, high=5.0, period=500.0), Burst(rate=1.0, peak=9.0, start=100.0, length=300.0)],
)
def test_as_many_come_as_the_rate_says(process: Arrivals) -> None:
    counts = [len(process.times(1000.0, np.random.default_rng(seed))) for seed in range(20)]
    expected = 1000.0 * process.mean_rate(1000.0)
    # Twenty runs of thousands: the mean is within a percent or so of what it should be.
    assert abs(np.mean(counts) - expected) < 5 * np.sqrt(expected / 20)


def test_a_burst_is_where_it_should_be() -> None:
    times = Burst(rate=0.0, peak=10.0, start=20.0, length=10.0).times(60.0, np.random.default_rng(1))
    assert len(times) > 50
    assert times.min() >= 20 and times.max() < 30


def test_a_trace_is_replayed_as_fast_as_wished(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("seconds,who\n4,a\n0.5,b\n2,c\n")
    rng = np.random.default_rng(0)
    assert Replay(trace).times(3.0, rng).tolist() == [0.5, 2.0]
    assert Replay(trace, speed=2.0).times(3.0, rng).tolist() == [0.25, 1.0, 2.0]


@pytest.mark.parametrize("text", [None, "", "when\n1\n", "seconds\nsoon\n", "seconds\n-1\n", "seconds\ninf\n"])
def test_a_trace_that_is_none_is_refused(tmp_path: Path, text: str | None) -> None:
    trace = tmp_path / "trace.csv"
    if text is not None:
        trace.write_text(text)
    with pytest.raises(BadOption, match=r"trace\.csv"):
        Replay(trace).times(10.0, np.random.default_rng(0))
