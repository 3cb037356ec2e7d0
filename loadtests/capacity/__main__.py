"""python -m loadtests.capacity answer | sweep | replay | targets; --help says more."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from loadtests.capacity import sweep
from loadtests.capacity.answer import Point, Question, Slo, WholeDay, curve, days, gpu_load, gpus_needed
from loadtests.capacity.replay import replay, replay_table
from loadtests.capacity.service_times import Measured
from loadtests.capacity.setups import Choice, World, assumed, load, measured
from loadtests.capacity.tables import percent, seconds, table
from loadtests.capacity.targets import saturated, sooner


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 1 where a target is missed or no fleet is enough."""
    options = _parser().parse_args(arguments)
    try:
        done: int = options.run(options)
    except (ValueError, KeyError) as why:
        print(f"capacity: {why.args[0] if why.args else why}", file=sys.stderr)
        return 1
    return done


def _answer(options: argparse.Namespace) -> int:
    make = _maker(options)
    world, question = make(_choice(options)), _question(options)
    enough = gpus_needed(world, question)
    points = curve(world, question, enough)
    whole = days(world, question, enough)
    slo = question.slo
    print(f"# {question.per_day:,.0f} clips a day: {enough.gpus} GPUs\n\n{world.label}.\n")
    print(
        f"Objective: p95 at most {seconds(slo.interactive_p95)} interactive, {seconds(slo.batch_p95)} batch, "
        f"for each of {len(question.seeds)} seeds."
    )
    print(f"At the peak ({world.mix.peak:g} times the mean) {gpu_load(world, question.per_day):.1f} GPUs compute.\n")
    print(f"Pods{' of each cell' if question.cells > 1 else ''}: {_list(enough.pods)}.\n")
    print(f"## Fixed fleets at the peak; cost as if they were there all day\n\n{sweep.points_table(points)}\n")
    print(f"## A whole day{' of one cell' if question.cells > 1 else ''}\n\n{_days(whole)}")
    _write(options, {"question": asdict(question), "times": world.label, "needed": asdict(enough)}, points, whole)
    return 0


def _days(whole: Sequence[WholeDay]) -> str:
    head = ("fleet", "p95 interactive", "p95 batch", "GPU busy", "GPU hours", "USD a clip", "refused")
    rows = [
        (
            day.name,
            seconds(day.interactive_p95),
            seconds(day.batch_p95),
            percent(day.busy),
            f"{day.gpu_hours:.0f}",
            f"{day.per_clip:.3f}",
            day.refused,
        )
        for day in whole
    ]
    return table(head, rows)


def _write(
    options: argparse.Namespace, data: dict[str, Any], points: Sequence[Point], whole: Sequence[WholeDay]
) -> None:
    if options.json:
        data |= {"fixed": [asdict(point) for point in points], "days": [asdict(day) for day in whole]}
        Path(options.json).write_text(json.dumps(data, indent=2) + "\n")


def _sweep(options: argparse.Namespace) -> int:
    make, choice, question = _maker(options), _choice(options), _question(options)
    world = make(choice)
    text, drawn = sweep.loads(world, question)
    print(f"{world.label}.\n\n## Load\n\n{text}\n")
    print(f"## Spot nodes, {question.per_day:,.0f} clips a day\n\n{sweep.preemption(make, choice, question)}\n")
    print(f"## Sharding, {question.per_day:,.0f} clips a day\n\n{sweep.sharding(make, choice, question)}\n")
    print(f"## Nodes kept warm, {question.per_day:,.0f} clips a day\n\n{sweep.warm_pool(make, choice, question)}")
    Path(options.chart).write_text(drawn)
    print(f"\nChart: {options.chart}")
    return 0


def _replay(options: argparse.Namespace) -> int:
    report = Measured.from_report(options.report)
    differences = replay(report, seeds=range(1, options.seeds + 1))
    print(f"{len(report.jobs)} jobs in the report, {options.seeds} seeds.\n\n{replay_table(differences)}")
    if options.json:
        Path(options.json).write_text(json.dumps([asdict(one) for one in differences], indent=2) + "\n")
    return 0


def _targets(options: argparse.Namespace) -> int:
    choice = _choice(options)
    make = _maker(options)
    world = make(choice)
    results = [saturated(world, gpus=options.gpus), sooner(make, choice)]
    print(f"{world.label}.\n")
    for target in results:
        print(
            f"{'reached' if target.met else 'MISSED '}  {target.value:.3f} (at least {target.least:g})  {target.name}"
        )
    return 0 if all(target.met for target in results) else 1


def _list(pods: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in pods.items())


def _maker(options: argparse.Namespace) -> Callable[[Choice], World]:
    data = load(Path(options.assumptions)) if isinstance(options.assumptions, str) else load()
    if options.report:
        report = Measured.from_report(options.report)
        return lambda choice: measured(report, choice, data)
    return lambda choice: assumed(choice, data)


def _choice(options: argparse.Namespace) -> Choice:
    return Choice(
        profile=options.profile,
        tier=options.tier,
        card=options.card,
        sharding=not options.no_sharding,
        spot=options.spot,
        warm=options.warm,
        overlay=options.values,
    )


def _question(options: argparse.Namespace) -> Question:
    slo = Slo(interactive_p95=options.slo_p95, batch_p95=options.slo_batch_p95)
    seeds = tuple(range(1, options.seeds + 1))
    return Question(per_day=options.per_day, slo=slo, hours=options.hours, seeds=seeds, cell=options.cell)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtests.capacity", description="How many GPUs, at what latency.")
    commands = parser.add_subparsers(required=True)
    for name, run, text in (
        ("answer", _answer, "the smallest fleet that keeps an objective, and what fewer or more GPUs would mean"),
        ("sweep", _sweep, "load, preemption, sharding and warm nodes: tables and a chart"),
        ("targets", _targets, "busy share when saturated, and what sharding does for one clip"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        _add_world(command)
        if name == "targets":
            command.add_argument("--gpus", type=int, default=32, help="of the saturated cluster")
            continue
        _add_question(command)
        command.add_argument("--json", help="write the answer there") if name == "answer" else command.add_argument(
            "--chart", default="capacity.svg", help="where the chart goes"
        )
    command = commands.add_parser("replay", help="the arrivals of a measured run: measured against simulated")
    command.set_defaults(run=_replay)
    command.add_argument("--report", required=True, help="report of a load test, JSON")
    command.add_argument("--seeds", type=int, default=5)
    command.add_argument("--json", help="write the differences there")
    return parser


def _add_world(command: argparse.ArgumentParser) -> None:
    times = command.add_mutually_exclusive_group()
    times.add_argument("--report", help="times measured by a load test, JSON")
    times.add_argument("--assumptions", nargs="?", const=True, help="assumed times (the default); another file of them")
    command.add_argument("--profile", default="production", help="models")
    command.add_argument("--tier", default="full", choices=("full", "fast", "draft"), help="Casper's quality")
    command.add_argument("--card", default="h100", help="a card of assumptions.toml")
    command.add_argument("--no-sharding", action="store_true", help="a job's GPU runs one after the other")
    command.add_argument("--spot", action="store_true", help="spot nodes")
    command.add_argument("--warm", type=int, default=0, help="GPU nodes that are always there")
    command.add_argument("--values", default="production", help="overlay in helm/omnimatte/values/")


def _add_question(command: argparse.ArgumentParser) -> None:
    command.add_argument("--per-day", type=float, default=5000.0, help="clips")
    command.add_argument("--slo-p95", type=float, default=Slo.interactive_p95, help="seconds, interactive clips")
    command.add_argument("--slo-batch-p95", type=float, default=Slo.batch_p95, help="seconds, batch clips")
    command.add_argument("--hours", type=float, default=2.0, help="of the peak to simulate")
    command.add_argument("--seeds", type=int, default=3, help="arrivals that must all keep the objective")
    command.add_argument("--cell", type=float, default=10_000.0, help="clips a day above which the load is divided")


if __name__ == "__main__":
    sys.exit(main())
