"""A report as one HTML page that needs nothing beside it.

Must not know: how the figures came about.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from loadtests.report.chart import lines
from loadtests.report.slo import Verdict

_STYLE = Path(__file__).with_name("page.css")
_HOP_COLOURS = {"compute": "#0b6bcb", "queue": "#d97706", "place": "#f59e0b", "store": "#15803d"}
_SHOWN = ("count", "mean", "p50", "p90", "p95", "p99", "max")


def page(report: Mapping[str, Any], verdicts: Sequence[Verdict]) -> str:
    """The whole page."""
    scenario, outcomes = report["scenario"], report["outcomes"]
    title = f"{scenario.get('name', 'run')} on {report['target']}"
    counts = [(name.replace("_", " "), value) for name, value in outcomes.items() if name != "reasons"]
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(title)}</title><style>{_STYLE.read_text()}</style>"
        f"<h1>{escape(title)}</h1><p class=sub>{_about(report)}</p>"
        f"{_verdicts(verdicts)}"
        f"<h2>Outcomes</h2>{_table(('', 'requests'), counts)}"
        f"{_reasons(outcomes.get('reasons', {}))}"
        f"<h2>Latency, seconds</h2><p class=sub>From the moment a request was due until its client knew its end.</p>"
        f"{_spreads(report['classes'])}"
        f"<h2>Over time</h2><div class=charts>{_charts(report)}</div>"
        f"{_hops(report.get('hops', {}))}"
        f"<h2>Stages, seconds</h2>{_spreads(report['stages'])}"
        f"{_models(report)}"
        f"<h2>Calls, seconds</h2>{_spreads(report['calls'])}"
        f"<h2>Waiting for a turn, seconds</h2>{_spreads(report['waits'])}"
        f"{_resources(report['resources'])}</html>\n"
    )


def _about(report: Mapping[str, Any]) -> str:
    through, busy = report["throughput"], report["busy"]
    gpu = f" GPUs busy {100 * busy['gpu']:.0f} % of the time." if "gpu" in busy else ""
    cost = f" {report['cost']['per_clip']:.4f} {escape(report['cost']['currency'])} a clip." if "cost" in report else ""
    machine = ", ".join(f"{escape(str(name))} {escape(str(value))}" for name, value in report["machine"].items())
    return (
        f"{report['duration']:.0f} s of requests, seed {report['scenario'].get('seed', 0)}. "
        f"{through['offered']:.3g} jobs a second offered, {through['done']:.3g} done.{gpu}{cost} {machine}"
    )


def _verdicts(verdicts: Sequence[Verdict]) -> str:
    rows = "".join(
        f"<tr><td class={'good' if one.good else 'bad'}>{'holds' if one.good else 'fails'}</td>"
        f"<td style='text-align:left'>{escape(one.name)}</td>"
        f"<td>{'not measured' if one.value is None else f'{one.value:.4g}'}</td><td>{escape(one.bound)}</td></tr>"
        for one in verdicts
    )
    return f"<h2>Objectives</h2><table>{rows}</table>" if rows else ""


def _reasons(reasons: Mapping[str, int]) -> str:
    return _table(("answered", "times"), sorted(reasons.items(), key=lambda one: -one[1])) if reasons else ""


def _charts(report: Mapping[str, Any]) -> str:
    series, marks = report["series"], [(float(at), str(words)) for at, words in report.get("marks", [])]
    t = series["t"]
    latency = {name.replace("_", " "): line for name, line in series.items() if name.endswith(("_p50", "_p95"))}
    groups = {
        "Latency of jobs that ended then, seconds": latency,
        "Stages of those jobs, p95, seconds": {
            name.removeprefix("stage "): line for name, line in series.items() if name.startswith("stage ")
        },
        "Jobs a second": {name: series[name] for name in ("offered", "done", "refused")},
        "Age of the queue, seconds": {"oldest waiting job": series["queue_age"]},
        "Jobs that wait": {"queue": series["queue_length"]},
        "GPUs busy, share": {"gpu": series["gpu"]},
    }
    return "".join(lines(title, t, group, marks=marks) for title, group in groups.items())


def _hops(hops: Mapping[str, Any]) -> str:
    if not hops:
        return ""
    parts = {name: one for name, one in hops.items() if name not in ("waiting", "overhead")}
    bar = "".join(
        f"<i style='width:{100 * one['share']:.2f}%;background:{_HOP_COLOURS.get(name, '#9ca3af')}' "
        f"title='{escape(name)}: {100 * one['share']:.1f} %'></i>"
        for name, one in parts.items()
    )
    rows = [(name, *(_cell(one, key) for key in _SHOWN), f"{100 * one['share']:.2f} %") for name, one in hops.items()]
    return (
        "<h2>Where a job's time goes, seconds</h2><p class=sub>Along the chain of stage runs that decided its length; "
        "the hops of a job add up to its latency. What each one is: loadtests/report/hops.py.</p>"
        f"<div class=bar>{bar}</div>{_table(('hop', *_SHOWN, 'share'), rows)}"
    )


def _models(report: Mapping[str, Any]) -> str:
    rows = [
        (
            name,
            one["requests"],
            f"{one['queued']:.4f}",
            f"{one['computed']:.3f}",
            report["busy"]["stages"].get(name, ""),
        )
        for name, one in report.get("models", {}).items()
    ]
    heads = ("model", "requests", "mean queued, s", "mean computed, s", "its instances busy")
    return f"<h2>Model servers</h2>{_table(heads, rows)}" if rows else ""


def _resources(resources: Mapping[str, Any]) -> str:
    def shown(name: str, value: float) -> str:
        return f"{value / 1e6:.1f} MB" if name.endswith("bytes") else f"{value:g}"

    rows = [(name, *(shown(name, one[key]) for key in ("first", "last", "max"))) for name, one in resources.items()]
    return f"<h2>What it holds</h2>{_table(('', 'first', 'last', 'most'), rows)}" if rows else ""


def _spreads(spreads: Mapping[str, Any]) -> str:
    rows = [(name, *(_cell(one, key) for key in _SHOWN)) for name, one in spreads.items()]
    return _table(("", *_SHOWN), rows)


def _cell(one: Mapping[str, Any], key: str) -> str:
    value = one.get(key)
    return "" if value is None else f"{value:d}" if key == "count" else f"{value:.3f}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    top = "".join(f"<th>{escape(head)}</th>" for head in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"
