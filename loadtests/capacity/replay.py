"""The very arrivals of a measured run, simulated: how far the simulation is from what was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from loadtests.capacity.clips import Arrival
from loadtests.capacity.jobs import JobRecord
from loadtests.capacity.service_times import Measured, MeasuredJob
from loadtests.capacity.setups import replayed
from loadtests.capacity.simulate import simulate
from loadtests.capacity.tables import table
from orchestrator.timing import Line


@dataclass(frozen=True)
class Difference:
    """Measured and simulated seconds of a group of jobs. what: latency, or wait (from creation to being taken)."""

    group: str
    what: str
    jobs: int
    mean: tuple[float, float]
    p95: tuple[float, float]


def ended(report: Measured) -> list[MeasuredJob]:
    """The jobs that the replay can say something about: those that ran to their end."""
    return [job for job in report.jobs if not math.isnan(job.ended) and not math.isnan(job.taken)]


def replay(report: Measured, *, seeds: Sequence[int] = (1, 2, 3, 4, 5)) -> list[Difference]:
    """Differences over all jobs, by line and by kind; simulated values are over all `seeds` together."""
    jobs = ended(report)
    if not jobs:
        raise ValueError("the report has no job that was taken and ended, so there is nothing to replay.")
    setup = replayed(report)
    arrivals = [Arrival(job.created, job.kind, Line(job.line), job.tenant) for job in jobs]
    records = [record for seed in seeds for record in simulate(setup, arrivals, seed).records if not record.refused]
    names = ["all", *sorted({job.line for job in jobs}), *sorted({job.kind for job in jobs})]
    return [difference for name in names for difference in _differences(name, jobs, records)]


def _differences(name: str, jobs: Sequence[MeasuredJob], records: Sequence[JobRecord]) -> list[Difference]:
    real = [job for job in jobs if name in ("all", job.line, job.kind)]
    made = [record for record in records if name in ("all", record.line.value, record.kind)]
    return [
        _difference(name, "latency", [j.ended - j.created for j in real], [r.ended - r.created for r in made]),
        _difference(name, "wait", [j.taken - j.created for j in real], [r.taken - r.created for r in made]),
    ]


def _difference(name: str, what: str, real: Sequence[float], made: Sequence[float]) -> Difference:
    return Difference(
        group=name,
        what=what,
        jobs=len(real),
        mean=(float(np.mean(real)), float(np.mean(made))),
        p95=(float(np.quantile(real, 0.95)), float(np.quantile(made, 0.95))),
    )


def relative(pair: tuple[float, float]) -> float:
    """(simulated - measured) / measured; NaN where nothing was measured."""
    return (pair[1] - pair[0]) / pair[0] if pair[0] else math.nan


def replay_table(differences: Sequence[Difference]) -> str:
    """Measured against simulated, in seconds."""
    head = (
        "jobs",
        "what",
        "number",
        "mean measured",
        "simulated",
        "difference",
        "p95 measured",
        "simulated",
        "difference",
    )
    rows = [
        (
            one.group,
            one.what,
            one.jobs,
            *(f"{value:.2f}" for value in one.mean),
            f"{relative(one.mean):+.1%}",
            *(f"{value:.2f}" for value in one.p95),
            f"{relative(one.p95):+.1%}",
        )
        for one in differences
    ]
    return table(head, rows)
