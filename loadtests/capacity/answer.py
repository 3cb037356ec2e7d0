"""How many GPUs for so many clips a day at what latency, and what a clip costs.

The busiest hours of the day are simulated. Above `Question.cell` clips a day the service is taken to be several equal
cells side by side, one of which is simulated: a little too many GPUs, since one large fleet waits less than many small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from loadtests.capacity.clips import DAY, day, peak_hours
from loadtests.capacity.fleets import fixed, gpus_of, least_gpus, offered, scaled
from loadtests.capacity.setups import GPU, World
from loadtests.capacity.simulate import Outcome, Setup, simulate
from orchestrator.timing import Line

_WARM_UP = 3600.0
_MOST_GPUS = 1 << 14


@dataclass(frozen=True)
class Slo:
    """interactive_p95, batch_p95: seconds from creation to end that 95 of 100 clips of the line stay below."""

    interactive_p95: float = 600.0
    batch_p95: float = 3600.0

    def met(self, outcome: Outcome) -> bool:
        fast = outcome.latency(Line.INTERACTIVE) <= self.interactive_p95
        return fast and outcome.latency(Line.BATCH) <= self.batch_p95 and outcome.refused == 0


@dataclass(frozen=True)
class Question:
    """per_day: clips. hours: of the peak that are simulated after warming up. seeds: all must meet the objective."""

    per_day: float
    slo: Slo = Slo()
    hours: float = 2.0
    seeds: tuple[int, ...] = (1, 2, 3)
    cell: float = 10_000.0

    @property
    def cells(self) -> int:
        return max(1, math.ceil(self.per_day / self.cell))

    @property
    def per_cell(self) -> float:
        return self.per_day / self.cells


@dataclass(frozen=True)
class Point:
    """A fixed fleet at the peak, over all cells; the latencies are the worst of the seeds', the shares their mean.

    Attributes:
        gpus: in all. pods: of each group in one cell.
        busy: share of the GPU time that computed. interactive_p95, batch_p95, mean: seconds of latency.
        per_clip: cost of a clip if the fleet is there all day. met: whether it keeps the objective.
        lost: seconds computed in vain in an hour, over all cells, for lost nodes.
    """

    gpus: int
    pods: dict[str, int]
    busy: float
    interactive_p95: float
    batch_p95: float
    mean: float
    per_clip: float
    met: bool
    lost: float


@dataclass(frozen=True)
class WholeDay:
    """A whole day of one cell.

    Attributes:
        name: the fleet. interactive_p95, interactive_p99, batch_p95: seconds of latency. gpu_hours: paid.
        most_gpu_pods: most pods on GPUs that served at once.
    """

    name: str
    interactive_p95: float
    interactive_p99: float
    batch_p95: float
    busy: float
    gpu_hours: float
    per_clip: float
    most_gpu_pods: int
    refused: int


def gpus_needed(world: World, question: Question) -> Point:
    """The smallest fixed fleet that meets the objective, by bisection. ValueError where none does."""
    low = max(least_gpus(world), math.floor(gpu_load(world, question.per_cell)))
    tried: dict[int, Point] = {}

    def at(gpus: int) -> Point:
        if gpus not in tried:
            tried[gpus] = evaluate(world, question, gpus=gpus, hasty=True)
        return tried[gpus]

    if at(low).met:
        return at(low)
    high = low
    while not at(high).met:
        low, high = high, math.ceil(high * 1.15) + 1
        if high > _MOST_GPUS or _hopeless(at(low), at(high)):
            best = min(tried.values(), key=lambda point: point.interactive_p95)
            raise ValueError(
                f"no number of GPUs meets the objective: with {best.gpus} of them p95 is "
                f"{best.interactive_p95:.0f} s interactive and {best.batch_p95:.0f} s batch."
            )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if at(middle).met else (middle, high)
    return at(high)


def _hopeless(fewer: Point, more: Point) -> bool:
    """Whether more GPUs do not help any more: nothing waits, and clips still take too long."""
    return more.busy < 0.2 and more.interactive_p95 > 0.98 * fewer.interactive_p95


def gpu_load(world: World, per_day: float) -> float:
    """GPUs that would be busy at the peak, if nothing was ever idle or lost."""
    gpu = {pool.name for pool in world.setup.pools if pool.gpu}
    seconds = sum(offered(world.setup, world.mix, g) * g.slices / 7 for g in world.setup.groups if g.pool in gpu)
    return seconds * per_day / DAY * world.mix.peak


def evaluate(world: World, question: Question, *, gpus: int, hasty: bool = False) -> Point:
    """`gpus` GPUs in each cell at the peak, there from the start. hasty: no more seeds after one that misses."""
    setup = fixed(world, gpus=gpus, per_day=question.per_cell)
    outcomes = []
    for seed in question.seeds:
        outcomes.append(_peak(setup, world, question, seed))
        if hasty and not question.slo.met(outcomes[-1]):
            break
    return _point(setup, outcomes, question)


def _peak(setup: Setup, world: World, question: Question, seed: int) -> Outcome:
    arrivals = peak_hours(world.mix, per_day=question.per_cell, hours=question.hours + _WARM_UP / 3600, seed=seed)
    until = question.hours * 3600 + _WARM_UP
    return simulate(replace(setup, count_from=_WARM_UP, count_until=until), arrivals, seed)


def _point(setup: Setup, outcomes: list[Outcome], question: Question) -> Point:
    clips_an_hour = question.per_cell / 24
    hourly = sum(outcome.cost / (outcome.end - outcome.begin) * 3600 for outcome in outcomes) / len(outcomes)
    lost = sum(outcome.lost_seconds for outcome in outcomes) / len(outcomes) / (question.hours + _WARM_UP / 3600)
    return Point(
        gpus=gpus_of(setup) * question.cells,
        pods={group.name: group.pods for group in setup.groups},
        busy=sum(outcome.busy_share for outcome in outcomes) / len(outcomes),
        interactive_p95=max(outcome.latency(Line.INTERACTIVE) for outcome in outcomes),
        batch_p95=max(outcome.latency(Line.BATCH) for outcome in outcomes),
        mean=sum(outcome.mean_latency() for outcome in outcomes) / len(outcomes),
        per_clip=hourly / clips_an_hour,
        met=all(question.slo.met(outcome) for outcome in outcomes),
        lost=lost * question.cells,
    )


def whole_day(world: World, question: Question, setup: Setup, *, name: str) -> WholeDay:
    """A day of one cell, from midnight to midnight."""
    seed = question.seeds[0]
    arrivals = day(world.mix, per_day=question.per_cell, begin=0.0, end=DAY, seed=seed)
    outcome = simulate(replace(setup, count_until=DAY), arrivals, seed)
    on_gpu = {group.name for group in setup.groups if group.pool == GPU}
    return WholeDay(
        name=name,
        interactive_p95=outcome.latency(Line.INTERACTIVE),
        interactive_p99=outcome.latency(Line.INTERACTIVE, 0.99),
        batch_p95=outcome.latency(Line.BATCH),
        busy=outcome.busy_share,
        gpu_hours=outcome.gpu_hours,
        per_clip=outcome.cost_per_clip,
        most_gpu_pods=max(sum(n for group, n in s.pods.items() if group in on_gpu) for s in outcome.samples),
        refused=outcome.refused,
    )


def days(world: World, question: Question, enough: Point) -> list[WholeDay]:
    """The fleet that is enough, all day; autoscaled up to its pods; and autoscaled by the chart to the letter."""
    cell = question.per_cell
    return [
        whole_day(world, question, setup, name=name)
        for name, setup in (
            ("fixed", fixed(world, gpus=enough.gpus // question.cells, per_day=cell)),
            ("autoscaled, at most those pods", scaled(world, most=enough.pods, per_day=cell)),
            ("autoscaled, the chart to the letter", scaled(world, most=None, per_day=cell)),
        )
    ]


def curve(world: World, question: Question, around: Point) -> list[Point]:
    """Fleets from three quarters to one and a half of that size: what fewer or more GPUs would mean."""
    each = around.gpus // question.cells
    sizes = sorted({max(least_gpus(world), round(each * share)) for share in (0.75, 0.9, 1.0, 1.1, 1.25, 1.5)})
    return [evaluate(world, question, gpus=gpus) for gpus in sizes]
