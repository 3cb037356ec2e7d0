"""How long things take: tables of quantiles, drawn from by inverse CDF with a seeded generator.

Must not know: queues, pods, or where the tables were measured.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

_BLOCK = 4096
# The ends of a lognormal are 0 and infinity; a table ends at these quantiles instead.
_TAIL = 0.002


@dataclass(frozen=True)
class Table:
    """A distribution of seconds by its quantiles, evenly spaced from the least to the most; 101 in reports."""

    seconds: tuple[float, ...]

    def __post_init__(self) -> None:
        values = self.seconds
        if not values or any(not math.isfinite(value) or value < 0 for value in values):
            raise ValueError("a table of quantiles needs at least one finite number of seconds, none below 0.")
        if any(later < earlier for earlier, later in pairwise(values)):
            raise ValueError("the quantiles of a table must not fall.")

    def at(self, share: float) -> float:
        """Seconds below which `share` (0..1) of the draws lie."""
        place = share * (len(self.seconds) - 1)
        below = int(place)
        if below >= len(self.seconds) - 1:
            return self.seconds[-1]
        first, second = self.seconds[below], self.seconds[below + 1]
        return first + (second - first) * (place - below)

    @cached_property
    def mean(self) -> float:
        """Mean of what is drawn, in seconds: draws are even between neighbouring quantiles."""
        if len(self.seconds) == 1:
            return self.seconds[0]
        return sum((a + b) / 2 for a, b in pairwise(self.seconds)) / (len(self.seconds) - 1)

    def times(self, factor: float) -> Table:
        """The same shape, everything `factor` times as long."""
        return Table(tuple(value * factor for value in self.seconds))


ZERO = Table((0.0,))


def lognormal(median: float, spread: float) -> Table:
    """101 quantiles around `median` seconds; `spread` is the standard deviation of the logarithm."""
    normal = NormalDist()
    shares = [_TAIL + (1 - 2 * _TAIL) * i / 100 for i in range(101)]
    return Table(tuple(median * math.exp(spread * normal.inv_cdf(share)) for share in shares))


class Draws:
    """Even random numbers in 0..1, one at a time, from a seeded generator."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)
        self._block: list[float] = []

    def next(self) -> float:
        """The next number. Drawn in blocks: a call of numpy for each would take longer than the simulation."""
        if not self._block:
            self._block = self._generator.random(_BLOCK).tolist()
        return self._block.pop()

    def seconds(self, table: Table) -> float:
        return table.at(self.next())

    def exponential(self, mean: float) -> float:
        return -mean * math.log1p(-self.next())


@dataclass(frozen=True)
class ServiceTimes:
    """What takes how long.

    Attributes:
        stages: kind of clip -> stage -> seconds of one run's computing.
        queue: from a job's creation until it may be taken, beyond waiting for a place.
        dispatch: of a stage run's place, beyond its computing.
        finish: from the end of a job's last stage to the job's end.
    """

    stages: Mapping[str, Mapping[str, Table]]
    queue: Table = ZERO
    dispatch: Table = ZERO
    finish: Table = ZERO

    def of(self, kind: str, stage: str) -> Table:
        """Raises KeyError with a sentence."""
        try:
            return self.stages[kind][stage]
        except KeyError:
            raise KeyError(f"nothing says how long the stage {stage!r} takes for clips of kind {kind!r}.") from None


@dataclass(frozen=True)
class MeasuredJob:
    """A job of a measured run; seconds from the start of the run. `ended` is NaN where it did not end."""

    kind: str
    line: str
    tenant: str
    created: float
    taken: float
    ended: float
    state: str


@dataclass(frozen=True)
class Measured:
    """A report of a load test.

    Attributes:
        times: its distributions and overheads.
        kinds: kind -> objects, frames, and perhaps profile.
        running_jobs: places for jobs. running_stages: for stage runs. places: for runs of each stage.
    """

    times: ServiceTimes
    kinds: Mapping[str, Mapping[str, Any]]
    jobs: tuple[MeasuredJob, ...] = ()
    running_jobs: int = 16
    running_stages: int = 64
    places: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def from_report(cls, path: Path | str) -> Measured:
        """The report in the JSON file at `path`."""
        return cls.from_dict(json.loads(Path(path).read_text()))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Measured:
        overheads = {name: _table(values) for name, values in data.get("overheads", {}).items()}
        stages = {
            kind: {stage: _table(values) for stage, values in of.items() if values}
            for kind, of in data["distributions"].items()
        }
        capacity = data.get("capacity", {})
        return cls(
            times=ServiceTimes(
                stages=stages,
                queue=overheads.get("queue", ZERO),
                dispatch=overheads.get("dispatch", ZERO),
                finish=overheads.get("finish", ZERO),
            ),
            kinds=data["kinds"],
            jobs=tuple(_job(job) for job in data.get("jobs", ())),
            running_jobs=int(capacity.get("running_jobs", 16)),
            running_stages=int(capacity.get("running_stages", 64)),
            places={stage: int(number) for stage, number in capacity.get("places", {}).items()},
        )


def _table(values: Sequence[float]) -> Table:
    """Rounding may have made neighbours fall by a hair, and a clock may have gone back by one."""
    return Table(tuple(np.maximum.accumulate(np.maximum(values, 0.0)).tolist())) if len(values) else ZERO


def _job(data: Mapping[str, Any]) -> MeasuredJob:
    def seconds(name: str) -> float:
        value = data.get(name)
        return math.nan if value is None else float(value)

    return MeasuredJob(
        kind=data["kind"],
        line=data.get("line", "interactive"),
        tenant=data.get("tenant", "default"),
        created=seconds("created"),
        taken=seconds("taken"),
        ended=seconds("ended"),
        state=str(data.get("state", "")),
    )
