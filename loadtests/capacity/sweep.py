"""What changes the answer: load up to a million clips a day, preemption, sharding, nodes kept warm. Prints Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from loadtests.capacity.answer import Point, Question, evaluate, gpus_needed, whole_day
from loadtests.capacity.fleets import scaled
from loadtests.capacity.setups import Choice, World
from loadtests.capacity.tables import Line, chart, percent, seconds, table

LOADS = (1_000, 2_000, 5_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
PREEMPTIONS = (0.0, 0.05, 0.2, 0.5)
WARM = (0.0, 0.25, 0.5, 1.0)

Make = Callable[[Choice], World]


def loads(world: World, question: Question, sizes: Sequence[float] = LOADS) -> tuple[str, str]:
    """A table of the GPUs that each load needs, and the chart of it as SVG."""
    cells: dict[float, Point] = {}
    points = [(size, _needed(world, replace(question, per_day=size), cells)) for size in sizes]
    rows = [(f"{size:,.0f}", replace(question, per_day=size).cells, *_cells(point)) for size, point in points]
    text = table(("clips a day", "cells", *_HEAD), rows)
    drawn = chart(
        world.label,
        x="clips a day",
        y="GPUs; cents a clip",
        lines=[
            Line("GPUs", [(size, point.gpus) for size, point in points]),
            Line("US cents a clip, fixed fleet", [(size, 100 * point.per_clip) for size, point in points]),
        ],
    )
    return text, drawn


def _needed(world: World, question: Question, known: dict[float, Point]) -> Point:
    """As `gpus_needed`; a cell that is `known`, by its clips a day, is not simulated again."""
    if question.per_cell not in known:
        known[question.per_cell] = gpus_needed(world, replace(question, per_day=question.per_cell))
    one = known[question.per_cell]
    return replace(one, gpus=one.gpus * question.cells, lost=one.lost * question.cells)


def preemption(make: Make, choice: Choice, question: Question) -> str:
    """Nodes that are taken back at different rates, all with as many GPUs as are enough where none is."""
    spot = make(replace(choice, spot=True))
    enough = gpus_needed(make(choice), question)
    rows: list[Sequence[object]] = [("on demand", *_cells(enough), "0 s")]
    for rate in PREEMPTIONS:
        pools = [replace(pool, preemptions_per_hour=rate if pool.gpu else 0.0) for pool in spot.setup.pools]
        world = replace(spot, setup=replace(spot.setup, pools=pools))
        same = evaluate(world, question, gpus=enough.gpus // question.cells)
        rows.append((f"spot, {rate:g} an hour and node", *_cells(same), seconds(same.lost)))
        rows.append(("the same, enough GPUs", *_cells(gpus_needed(world, question)), ""))
    return table(("nodes", *_HEAD, "lost an hour"), rows)


def sharding(make: Make, choice: Choice, question: Question) -> str:
    """A job's GPU runs side by side, or one after the other; the same GPUs, and as many as each needs."""
    rows: list[Sequence[object]] = []
    on, off = (make(replace(choice, sharding=flag)) for flag in (True, False))
    enough = gpus_needed(on, question)
    rows.append(("on", *_cells(enough)))
    rows.append(("off, same GPUs", *_cells(evaluate(off, question, gpus=enough.gpus // question.cells))))
    try:
        rows.append(("off, enough GPUs", *_cells(gpus_needed(off, question))))
    except ValueError as why:
        rows.append((f"off: {why}", *[""] * len(_HEAD)))
    return table(("sharding", *_HEAD), rows)


def warm_pool(make: Make, choice: Choice, question: Question) -> str:
    """A day with the chart's autoscalers, and some of the peak's GPU nodes always there."""
    enough = gpus_needed(make(choice), question)
    each = enough.gpus // question.cells
    rows = []
    for share in WARM:
        nodes = round(each * share)
        world = make(replace(choice, warm=nodes))
        setup = scaled(world, most=enough.pods, per_day=question.per_cell)
        day = whole_day(world, question, setup, name=f"{nodes} of {each} warm")
        rows.append(
            (
                day.name,
                seconds(day.interactive_p95),
                seconds(day.interactive_p99),
                seconds(day.batch_p95),
                percent(day.busy),
                f"{day.gpu_hours:.0f}",
                f"{day.per_clip:.3f}",
            )
        )
    return table(
        ("GPU nodes", "p95 interactive", "p99 interactive", "p95 batch", "GPU busy", "GPU hours a day", "USD a clip"),
        rows,
    )


_HEAD = ("GPUs", "GPU busy at the peak", "mean", "p95 interactive", "p95 batch", "keeps it", "USD a clip")


def _cells(point: Point) -> tuple[object, ...]:
    return (
        f"{point.gpus:,}",
        percent(point.busy),
        seconds(point.mean),
        seconds(point.interactive_p95),
        seconds(point.batch_p95),
        "yes" if point.met else "no",
        f"{point.per_clip:.3f}",
    )


def points_table(points: Sequence[Point]) -> str:
    """A table of fleets."""
    return table(_HEAD, [_cells(point) for point in points])
