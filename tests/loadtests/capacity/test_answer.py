"""Answers, sweeps, the replay and the command line."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.capacity import sweep
from loadtests.capacity.__main__ import main
from loadtests.capacity.answer import Question, Slo, evaluate, gpu_load, gpus_needed
from loadtests.capacity.clips import Arrival
from loadtests.capacity.replay import relative, replay
from loadtests.capacity.service_times import Measured
from loadtests.capacity.setups import Choice, assumed, replayed
from loadtests.capacity.simulate import simulate
from loadtests.capacity.tables import Line as Curve
from loadtests.capacity.tables import chart, seconds, table
from loadtests.capacity.targets import saturated, sooner
from orchestrator.timing import Line

QUESTION = Question(2000, hours=1.0, seeds=(1,))


def report_of(*, jobs: int = 60) -> dict[str, object]:
    """A report whose jobs were made by the simulation itself."""
    stages = ("ingest", "sam2", "plate", "casper", "ssr", "depth", "omnimatte", "finish")
    tables = {stage: [1.0 + 0.02 * i for i in range(101)] for stage in stages}
    data: dict[str, object] = {
        "kinds": {"one": {"objects": 1, "frames": 24}, "three": {"objects": 3, "frames": 24}},
        "distributions": {"one": tables, "three": tables},
        "overheads": {"queue": [0.2] * 101, "dispatch": [0.05] * 101, "finish": [0.1] * 101},
        "capacity": {"running_jobs": 6, "running_stages": 16, "places": {stage: 2 for stage in stages}},
    }
    kinds, lines = ("one", "three"), (Line.INTERACTIVE, Line.BATCH)
    arrivals = [Arrival(8.0 * i, kinds[i % 2], lines[i // 2 % 2], f"t{i % 3}") for i in range(jobs)]
    records = simulate(replayed(Measured.from_dict(data)), arrivals, 99).records
    data["jobs"] = [
        {"kind": r.kind, "line": r.line.value, "tenant": r.tenant, "created": r.created, "taken": r.taken,
         "ended": r.ended, "state": "SUCCEEDED"}
        for r in records
    ]  # fmt: skip
    return data


def test_the_answer_is_the_least_that_keeps_the_objective() -> None:
    world = assumed(Choice())
    enough = gpus_needed(world, QUESTION)
    assert enough.met and enough.gpus >= gpu_load(world, QUESTION.per_day) * 0.9
    assert enough.interactive_p95 <= QUESTION.slo.interactive_p95
    assert not evaluate(world, QUESTION, gpus=enough.gpus - 1).met


def test_a_stricter_objective_needs_no_fewer_gpus() -> None:
    world = assumed(Choice())
    strict = replace(QUESTION, slo=Slo(interactive_p95=260.0, batch_p95=600.0))
    assert gpus_needed(world, strict).gpus >= gpus_needed(world, QUESTION).gpus


def test_what_no_fleet_can_do_is_said() -> None:
    with pytest.raises(ValueError, match="no number of GPUs"):
        gpus_needed(assumed(Choice()), replace(QUESTION, slo=Slo(interactive_p95=10.0)))


def test_cells_multiply() -> None:
    world = assumed(Choice(tier="draft"))
    one = gpus_needed(world, replace(QUESTION, cell=2000))
    ten = gpus_needed(world, replace(QUESTION, per_day=20_000, cell=2000))
    assert ten.gpus == 10 * one.gpus and ten.per_clip == pytest.approx(one.per_clip)


def test_the_targets_are_reached_with_the_assumptions() -> None:
    assert saturated(assumed(Choice()), gpus=32).met
    assert sooner(assumed, Choice()).met


def test_preemption_makes_the_same_fleet_lose_work() -> None:
    question = replace(QUESTION, per_day=3000)
    spot = assumed(Choice(spot=True))
    pools = [replace(pool, preemptions_per_hour=1.0 if pool.gpu else 0.0) for pool in spot.setup.pools]
    often = replace(spot, setup=replace(spot.setup, pools=pools))
    gpus = gpus_needed(spot, question).gpus
    assert evaluate(often, question, gpus=gpus).lost > 0


def test_sweeps_print_tables_and_a_chart() -> None:
    text, drawn = sweep.loads(assumed(Choice(tier="draft")), QUESTION, (1000, 4000))
    assert text.count("\n") == 3 and "4,000" in text
    ElementTree.fromstring(drawn)


def test_a_replay_of_simulated_arrivals_agrees_with_itself() -> None:
    differences = replay(Measured.from_dict(report_of()))
    latency = next(one for one in differences if one.group == "all" and one.what == "latency")
    assert latency.jobs == 60
    assert abs(relative(latency.mean)) < 0.1 and abs(relative(latency.p95)) < 0.15
    assert {one.group for one in differences} == {"all", "interactive", "batch", "one", "three"}


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, out = tmp_path / "report.json", tmp_path / "out.json"
    report.write_text(json.dumps(report_of(jobs=20)))
    assert main(["replay", "--report", str(report), "--seeds", "2", "--json", str(out)]) == 0
    assert "p95 measured" in capsys.readouterr().out
    assert json.loads(out.read_text())[0]["group"] == "all"
    brief = ["--per-day", "1000", "--hours", "0.5", "--seeds", "1"]
    assert main(["answer", *brief, "--assumptions", "--tier", "draft", "--json", str(out)]) == 0
    assert "ASSUMED times" in capsys.readouterr().out
    assert json.loads(out.read_text())["needed"]["met"]
    assert main(["answer", *brief, "--report", str(report)]) == 0
    assert "MEASURED times" in capsys.readouterr().out
    assert main(["answer", *brief, "--assumptions", "--slo-p95", "1"]) == 1
    assert "no number of GPUs" in capsys.readouterr().err


def test_tables_and_charts() -> None:
    assert table(("a", "b"), [(1, "x")]) == "| a | b |\n| --- | --- |\n| 1 | x |"
    assert (seconds(42), seconds(450), seconds(11160)) == ("42 s", "7.5 min", "3.1 h")
    root = ElementTree.fromstring(chart("a < b", x="x", y="y", lines=[Curve("one", [(1, 1), (1000, 20)])]))
    assert root.tag.endswith("svg")
