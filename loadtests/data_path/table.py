"""Markdown tables and the two numbers that stand for repeated measurements."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Seconds:
    """Wall times of one thing done several times, in seconds."""

    times: tuple[float, ...]

    @property
    def best(self) -> float:
        """What it takes when nobody else wants the machine."""
        return min(self.times)

    @property
    def median(self) -> float:
        return statistics.median(self.times)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns are as wide as their widest cell."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    shown = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    shown.insert(1, "-|-".join("-" * width for width in widths))
    return "\n".join(f"| {line} |" for line in shown)
