"""What changed between two runs, beyond what chance does.

Jobs that run beside each other are not independent, so whole stretches of time are drawn again (block bootstrap,
Künsch 1989): a figure has changed when the 95 % interval of the difference leaves out zero, and the difference is more
than `_NEGLIGIBLE` of the figure.
Must not know: how runs are made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DRAWS = 2000
_BLOCKS = 12
_NEGLIGIBLE = 0.02
_FEWEST = 8
_WIDE = 1.96

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Change:
    """One figure in both runs. low, high: 95 % interval of the relative difference. None: too few to say."""

    name: str
    before: float
    after: float
    low: float | None
    high: float | None

    @property
    def verdict(self) -> str:
        """ "slower", "faster", "no change" or "too few"."""
        if self.low is None or self.high is None:
            return "too few"
        if self.low > 0 and self.after > self.before * (1 + _NEGLIGIBLE):
            return "slower"
        if self.high < 0 and self.after < self.before * (1 - _NEGLIGIBLE):
            return "faster"
        return "no change"

    @property
    def line(self) -> str:
        """A row of a markdown table."""
        relative = self.after / self.before - 1 if self.before else 0.0
        interval = "" if self.low is None or self.high is None else f"{100 * self.low:+.1f} .. {100 * self.high:+.1f} %"
        cells = (
            self.name,
            f"{self.before:.3f}",
            f"{self.after:.3f}",
            f"{100 * relative:+.1f} %",
            interval,
            self.verdict,
        )
        return f"| {' | '.join(cells)} |"


def compared(before: Mapping[str, Any], after: Mapping[str, Any], *, seed: int = 0) -> list[Change]:
    """Mean, median and p95 latency by class, and the mean of each stage."""
    rng = np.random.default_rng(seed)
    found = []
    for line in sorted(set(before["classes"]) & set(after["classes"]) - {"preview"}):
        first, second = (_latencies(report, line) for report in (before, after))
        for name, of in _FIGURES.items():
            found.append(_change(f"{line} {name}, s", first, second, of, rng))
    for stage in sorted(set(before["stages"]) & set(after["stages"])):
        found.append(_stage_change(stage, before["stages"][stage], after["stages"][stage]))
    return found


def table(changes: Sequence[Change]) -> str:
    """Markdown."""
    head = "| figure | before | after | difference | 95 % interval | |\n|---|---|---|---|---|---|\n"
    return head + "\n".join(change.line for change in changes) + "\n"


def _latencies(report: Mapping[str, Any], line: str) -> list[Values]:
    """Of the jobs that succeeded, in blocks of equal time."""
    duration = float(report["duration"])
    blocks: list[list[float]] = [[] for _ in range(_BLOCKS)]
    for job in report["jobs"]:
        if job["state"] == "succeeded" and job["line"] == line:
            blocks[min(_BLOCKS - 1, int(job["due"] / duration * _BLOCKS))].append(job["heard"] - job["due"])
    return [np.array(block) for block in blocks if block]


def _stage_change(stage: str, before: Mapping[str, float], after: Mapping[str, float]) -> Change:
    """By Welch's interval for the difference of two means."""
    name, one, other = f"{stage} mean, s", before["mean"], after["mean"]
    if min(before["count"], after["count"]) < _FEWEST or not one:
        return Change(name, one, other, None, None)
    error = math.hypot(before["sd"] / math.sqrt(before["count"]), after["sd"] / math.sqrt(after["count"]))
    return Change(name, one, other, (other - one - _WIDE * error) / one, (other - one + _WIDE * error) / one)


def _change(
    name: str, before: list[Values], after: list[Values], of: Callable[[Values], float], rng: np.random.Generator
) -> Change:
    first, second = (np.concatenate(blocks) if blocks else np.zeros(0) for blocks in (before, after))
    if min(len(first), len(second)) < _FEWEST or min(len(before), len(after)) < 3:
        return Change(name, of(first) if len(first) else 0.0, of(second) if len(second) else 0.0, None, None)
    draws = [of(_drawn(after, rng)) / of(_drawn(before, rng)) - 1 for _ in range(_DRAWS)]
    low, high = np.percentile(draws, [2.5, 97.5])
    return Change(name, of(first), of(second), float(low), float(high))


def _drawn(blocks: list[Values], rng: np.random.Generator) -> Values:
    return np.concatenate([blocks[i] for i in rng.integers(0, len(blocks), len(blocks))])


_FIGURES: Mapping[str, Callable[[Values], float]] = {
    "mean": lambda values: float(values.mean()),
    "median": lambda values: float(np.median(values)),
    "p95": lambda values: float(np.percentile(values, 95)),
}
