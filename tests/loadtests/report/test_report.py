"""A report: what it says of a run, whether that is good enough, what a page shows, and what changed between two."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loadtests.report.chart import lines
from loadtests.report.compare import compared, table
from loadtests.report.extras import extras
from loadtests.report.page import page
from loadtests.report.slo import failure_share, figure, read_bounds, verdicts
from loadtests.report.summary import summarised
from services.errors import BadOption
from tests.loadtests.report.made import record, sample, written


def steady(*, factor: float = 1.0, seed: int = 0, count: int = 120) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    jobs = [record(i, due=i * 100 / count, latency=factor * float(rng.lognormal(1.0, 0.2))) for i in range(count)]
    samples = [sample(float(t), busy=0.6 * t) for t in range(101)]
    run = written(jobs, samples)
    return {**summarised(run), **extras(run)}


def test_a_report_counts_what_came_of_the_requests() -> None:
    jobs = [
        record(0, due=1.0, latency=2.0),
        record(1, due=2.0, latency=0.1, outcome="refused", retry_after=3.0),
        record(2, due=3.0, latency=0.1, outcome="refused"),
        record(3, due=4.0, latency=5.0, outcome="failed"),
        record(4, due=5.0, latency=0.0, outcome="lost"),
        record(5, due=6.0, latency=4.0, outcome="cancelled", cancel_asked=9.5),
        record(6, due=7.0, latency=1.0, preview=True),
    ]
    report = summarised(written(jobs, [sample(0.0), sample(100.0)]))
    outcomes = report["outcomes"]
    assert (outcomes["requests"], outcomes["succeeded"], outcomes["refused"], outcomes["lost"]) == (7, 2, 2, 1)
    assert outcomes["refused_with_hint"] == 1
    assert failure_share(report) == pytest.approx(2 / 5)
    assert report["classes"]["interactive"]["count"] == 1 and report["classes"]["preview"]["count"] == 1
    assert report["cancels"]["max"] == pytest.approx(0.5)
    json.dumps(report)


def test_latency_is_from_the_moment_a_request_was_due() -> None:
    late = record(0, due=1.0, latency=2.0, sent=2.5)
    report = summarised(written([late], [sample(0.0), sample(100.0)]))
    assert report["classes"]["interactive"]["max"] == 2.0
    assert report["driver"]["max"] == 1.5


def test_what_was_busy() -> None:
    report = steady()
    assert report["busy"]["gpu"] == pytest.approx(0.6)
    assert report["busy"]["processors"]["load-0"] == pytest.approx(0.1)
    assert report["cost"]["per_clip"] == pytest.approx(2.0 * 100 / 3600 / 118, rel=0.05)


def test_quantile_tables_are_what_a_simulation_needs() -> None:
    report = steady()
    quantiles = report["distributions"]["small"]["casper"]
    assert len(quantiles) == 101 and quantiles == sorted(quantiles)
    assert len(report["overheads"]["queue"]) == 101
    assert report["capacity"]["places"] == {"casper": 2, "finish": 2}


def test_bounds_are_held_against_figures(tmp_path: Path) -> None:
    bounds = tmp_path / "slo.toml"
    bounds.write_text(
        "[default]\nerror_budget = 0.1\n[plain]\n"
        'at_most = { "classes.interactive.p95" = 1.0, "nowhere.at.all" = 1 }\nat_least = { "throughput.done" = 0.5 }\n'
    )
    found = {one.name: one for one in verdicts(steady(), read_bounds("plain", bounds))}
    assert found["error budget"].good and found["throughput.done"].good
    assert not found["classes.interactive.p95"].good
    # What was not measured does not hold.
    assert not found["nowhere.at.all"].good and found["nowhere.at.all"].value is None


@pytest.mark.parametrize("text", ["[default]\nhope = 1\n", '[default]\nat_most = { "a" = "b" }\n', "[[["])
def test_bounds_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "slo.toml").write_text(text)
    with pytest.raises(BadOption):
        read_bounds("plain", tmp_path / "slo.toml")


def test_a_figure_is_found_by_its_path() -> None:
    assert figure({"a": {"b": 2}}, "a.b") == 2.0
    assert figure({"a": {"b": 2}}, "a.b.c") is None
    assert figure({"a": True}, "a") is None


def test_the_same_run_has_not_changed_and_a_slower_one_has() -> None:
    before = steady(seed=1)
    same = {one.name: one.verdict for one in compared(before, steady(seed=2))}
    slower = {one.name: one.verdict for one in compared(before, steady(factor=1.3, seed=2))}
    assert set(same.values()) == {"no change"}
    assert slower["interactive mean, s"] == slower["interactive median, s"] == slower["casper mean, s"] == "slower"
    faster = {one.name: one.verdict for one in compared(before, steady(factor=0.7, seed=2))}
    assert faster["interactive mean, s"] == "faster"


def test_a_handful_of_jobs_says_nothing() -> None:
    changes = compared(steady(count=4), steady(count=4, factor=3.0))
    assert {one.verdict for one in changes} == {"too few"}
    assert "| too few |" in table(changes)


class Reader(HTMLParser):
    """What a page refers to, and what it says."""

    def __init__(self) -> None:
        super().__init__()
        self.references, self.text, self.tags = list[str](), "", list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_page_stands_alone_and_shows_the_verdicts() -> None:
    report = steady()
    report["outcomes"]["reasons"] = {"<script>alert(1)</script>": 1}
    reader = Reader()
    reader.feed(page(report, verdicts(report, read_bounds("smoke"))))
    assert reader.references == [] and "script" not in reader.tags
    assert "holds" in reader.text and "classes.interactive.p95" in reader.text
    assert reader.tags.count("svg") >= 3


def test_a_chart_breaks_where_nothing_is_known() -> None:
    drawn = lines("latency", [0.0, 1.0, 2.0, 3.0, 4.0], {"p50": [1.0, 2.0, None, 3.0, 4.0]}, marks=[(2.0, "node lost")])
    assert drawn.count("<polyline") == 2 and "node lost" in drawn
    assert lines("nothing", [0.0], {"p50": [None]}) == ""
