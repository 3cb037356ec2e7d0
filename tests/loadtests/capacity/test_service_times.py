"""Quantile tables are drawn from as they are, and reports are read as they are written."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.capacity.service_times import Draws, Measured, ServiceTimes, Table, lognormal
from loadtests.capacity.setups import Choice, assumed, load

SECONDS = st.lists(st.floats(0, 1e4), min_size=1, max_size=101).map(lambda values: Table(tuple(sorted(values))))


@given(SECONDS, st.floats(0, 1), st.floats(0, 1))
def test_draws_stay_within_the_table_and_rise_with_the_share(table: Table, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert table.seconds[0] <= table.at(low) <= table.at(high) + 1e-9
    assert table.at(high) <= table.seconds[-1] + 1e-9


@given(SECONDS)
def test_the_mean_is_that_of_the_draws(table: Table) -> None:
    draws = [table.at((i + 0.5) / 20_000) for i in range(20_000)]
    assert table.mean == pytest.approx(sum(draws) / len(draws), rel=1e-2, abs=1e-6)


def test_sampling_gives_back_the_quantiles_that_it_was_made_from() -> None:
    measured = np.random.default_rng(7).gamma(3.0, 10.0, size=5000)
    table = Table(tuple(np.quantile(measured, np.linspace(0, 1, 101)).tolist()))
    draws = Draws(1)
    sample = [draws.seconds(table) for _ in range(20_000)]
    for share in (0.1, 0.5, 0.9, 0.95):
        assert np.quantile(sample, share) == pytest.approx(np.quantile(measured, share), rel=0.05)


def test_a_lognormal_has_its_median_and_spread() -> None:
    table = lognormal(40.0, 0.2)
    assert len(table.seconds) == 101
    assert table.at(0.5) == pytest.approx(40.0)
    assert math.log(table.at(0.8413) / 40.0) == pytest.approx(0.2, rel=0.02)


def test_a_seed_gives_the_same_numbers() -> None:
    one, other = Draws(3), Draws(3)
    assert [one.next() for _ in range(5000)] == [other.next() for _ in range(5000)]
    assert Draws(4).next() != Draws(3).next()


@pytest.mark.parametrize("values", [(), (-1.0,), (2.0, 1.0), (math.nan,), (math.inf,)])
def test_what_is_no_table_is_refused(values: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="quantiles"):
        Table(values)


def test_a_missing_stage_is_named() -> None:
    with pytest.raises(KeyError, match=r"'ssr'.*'one'"):
        ServiceTimes({"one": {}}).of("one", "ssr")


def test_a_report_is_read(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    job = {"kind": "one", "line": "batch", "tenant": "a", "created": 1, "taken": 2, "ended": None, "state": "FAILED"}
    path.write_text(
        json.dumps(
            {
                "jobs": [job],
                "capacity": {"running_jobs": 3, "running_stages": 5, "places": {"casper": 2}},
                "kinds": {"one": {"objects": 1, "frames": 24}},
                "distributions": {"one": {"casper": [1.0, 2.0], "ssr": []}},
                "overheads": {"queue": [0.1] * 101, "dispatch": [-0.001, 0.2, 0.19999], "finish": [0.3]},
            }
        )
    )
    report = Measured.from_report(path)
    assert report.jobs[0].created == 1.0 and math.isnan(report.jobs[0].ended)
    assert (report.running_jobs, report.running_stages, report.places) == (3, 5, {"casper": 2})
    assert report.times.of("one", "casper").mean == 1.5
    assert "ssr" not in report.times.stages["one"]
    # A clock that went back a little does not make a report unreadable.
    assert report.times.dispatch.seconds == (0.0, 0.2, 0.2)


def test_every_assumption_says_where_it_comes_from() -> None:
    data = load()
    entries = [(stage, model, entry) for stage, of in data["stages"].items() for model, entry in of.items()]
    assert entries
    for stage, model, entry in entries:
        assert entry["mark"] in ("published", "estimated"), (stage, model)
        assert len(entry["source"]) > 20, (stage, model)
        assert entry["seconds"] > 0, (stage, model)


@pytest.mark.parametrize("profile", ["production", "commercial"])
@pytest.mark.parametrize("tier", ["full", "fast", "draft"])
@pytest.mark.parametrize("overlay", ["production", "one-gpu"])
def test_assumptions_cover_every_step_of_every_kind(profile: str, tier: str, overlay: str) -> None:
    world = assumed(Choice(profile=profile, tier=tier, overlay=overlay))
    for kind in world.setup.kinds.values():
        for step in kind.steps:
            assert world.setup.times.of(kind.name, step.stage).mean > 0
