"""When requests arrive: open-loop, that is, whether or not the service keeps up.

Pure functions of a seeded generator. Times are seconds from the start of the run, sorted. Must not know: what arrives.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.errors import BadOption

Times = NDArray[np.float64]


@dataclass(frozen=True)
class Poisson:
    """Independent users: `rate` requests a second, all the time."""

    rate: float

    def times(self, duration: float, rng: np.random.Generator) -> Times:
        """Arrival times in [0, duration)."""
        return thinned(lambda _: self.rate, self.rate, duration, rng)

    def mean_rate(self, duration: float) -> float:
        """Requests a second, on average."""
        return self.rate


@dataclass(frozen=True)
class Diurnal:
    """A day: the rate swings between `low` and `high` as a cosine of `period` seconds, and begins at its lowest."""

    low: float
    high: float
    period: float

    def rate_at(self, t: float) -> float:
        return self.low + (self.high - self.low) * 0.5 * (1 - math.cos(2 * math.pi * t / self.period))

    def times(self, duration: float, rng: np.random.Generator) -> Times:
        """Arrival times in [0, duration)."""
        return thinned(self.rate_at, self.high, duration, rng)

    def mean_rate(self, duration: float) -> float:
        """Requests a second, on average."""
        return float(np.mean([self.rate_at(t) for t in np.linspace(0, duration, 1000)]))


@dataclass(frozen=True)
class Burst:
    """`rate` a second, but `peak` for the seconds `start` to `start + length`."""

    rate: float
    peak: float
    start: float
    length: float

    def rate_at(self, t: float) -> float:
        return self.peak if self.start <= t < self.start + self.length else self.rate

    def times(self, duration: float, rng: np.random.Generator) -> Times:
        """Arrival times in [0, duration)."""
        return thinned(self.rate_at, max(self.rate, self.peak), duration, rng)

    def mean_rate(self, duration: float) -> float:
        """Requests a second, on average."""
        return float(np.mean([self.rate_at(t) for t in np.linspace(0, duration, 1000)]))


@dataclass(frozen=True)
class Replay:
    """What once happened: a CSV file whose column `seconds` holds times; other columns are left alone.

    Attributes:
        path: the file. speed: 2 replays it in half the time.
    """

    path: Path
    speed: float = 1.0

    def times(self, duration: float, rng: np.random.Generator) -> Times:
        """The trace's times below `duration`. Raises BadOption if it cannot be read."""
        try:
            with self.path.open(newline="") as file:
                found = sorted(float(row["seconds"]) for row in csv.DictReader(file))
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise BadOption(
                f"the trace {self.path} cannot be replayed ({error}); write a CSV file with a column 'seconds'."
            ) from error
        if not found or found[0] < 0 or not math.isfinite(found[-1]):
            raise BadOption(f"the trace {self.path} holds no arrival, or one before its start; see its 'seconds'.")
        times = np.array(found) / self.speed
        return times[times < duration]

    def mean_rate(self, duration: float) -> float:
        """Requests a second, on average."""
        return len(self.times(duration, np.random.default_rng(0))) / duration


Arrivals = Poisson | Diurnal | Burst | Replay


def thinned(rate_at: Callable[[float], float], highest: float, duration: float, rng: np.random.Generator) -> Times:
    """A Poisson process whose rate varies, by thinning (Lewis and Shedler 1979). `rate_at` is never above `highest`."""
    count = int(rng.poisson(highest * duration))
    times = np.sort(rng.uniform(0.0, duration, count))
    kept = rng.uniform(0.0, highest, count) < np.array([rate_at(float(t)) for t in times])
    return times[kept]
