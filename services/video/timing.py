"""When each frame of a clip is shown, and whether that is a constant rate. Pure arithmetic on timestamps.

Containers round: Matroska to milliseconds, so that 24 fps reads 42, 83, 125 ms. A clip counts as constant
when every timestamp lies within one tick of the grid of some rate. Frames are never dropped or repeated to
reach a rate.
Must not know: any media library.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

_COMMON_RATES = tuple(
    Fraction(rate) if isinstance(rate, int) else Fraction(*rate)
    for rate in (24, 25, 30, 50, 60, 16, 12, 15, (24000, 1001), (30000, 1001), (60000, 1001), 48, 120, 10, 8)
)


@dataclass(frozen=True)
class Timeline:
    """The timing of a clip.

    Attributes:
        fps: frames per second; for a variable rate the mean.
        time_base: seconds per tick of `pts`.
        pts: each frame's time in ticks from the first frame's; empty for a constant rate.
    """

    fps: Fraction
    time_base: Fraction = Fraction(1, 1000)
    pts: tuple[int, ...] = ()

    @property
    def variable(self) -> bool:
        return bool(self.pts)

    def seconds(self, index: int) -> Fraction:
        """Time of frame `index` from the start, exact."""
        return self.pts[index] * self.time_base if self.pts else index / self.fps

    def to_json(self) -> dict[str, Any] | None:
        """None for a constant rate, else {"time_base": "1/15360", "pts": [0, ...]}."""
        return {"time_base": fraction_text(self.time_base), "pts": list(self.pts)} if self.pts else None

    @classmethod
    def from_json(cls, fps: str, timestamps: dict[str, Any] | None) -> Timeline:
        """The timeline that `to_json` described."""
        if not timestamps:
            return cls(fps=Fraction(fps))
        return cls(Fraction(fps), Fraction(timestamps["time_base"]), tuple(timestamps["pts"]))


def timecode(frame: int, fps: Fraction) -> str:
    """Non-drop "HH:MM:SS:FF" of a frame's number, counted at the nearest whole rate; it wraps after a day."""
    rate = max(1, round(fps))
    seconds, rest = divmod(frame, rate)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours % 24:02d}:{minute:02d}:{second:02d}:{rest:02d}"


def fraction_text(value: Fraction) -> str:
    """ "num/den", also for whole numbers."""
    return f"{value.numerator}/{value.denominator}"


def measure(pts: Sequence[int | None], *, time_base: Fraction, hints: Sequence[Fraction | None]) -> Timeline:
    """The timeline of frames with the timestamps `pts` (ticks of `time_base`, in display order).

    hints: rates that the container claims, the most trusted first; the first that explains every timestamp
    wins. Without usable timestamps (missing, or not increasing) the first hint is believed, or 25 fps.
    """
    claimed = [rate for rate in hints if rate]
    fallback = Timeline(fps=claimed[0] if claimed else Fraction(25))
    known = [value for value in pts if value is not None]
    rising = all(a < b for a, b in pairwise(known))
    if len(known) < 2 or len(known) < len(pts) or not rising:
        return fallback
    ticks = tuple(value - known[0] for value in known)
    mean = Fraction(len(ticks) - 1) / (ticks[-1] * time_base)
    for rate in (*claimed, *_COMMON_RATES, mean.limit_denominator(1001)):
        if rate > 0 and _explains(rate, ticks, time_base):
            return Timeline(fps=rate)
    return Timeline(fps=mean.limit_denominator(100_000), time_base=time_base, pts=ticks)


def _explains(rate: Fraction, ticks: Sequence[int], time_base: Fraction) -> bool:
    # Exact integer arithmetic: |tick * base - i / rate| <= base, times rate's and base's denominators.
    step = 1 / (rate * time_base)
    num, den = step.numerator, step.denominator
    return all(abs(tick * den - index * num) <= den for index, tick in enumerate(ticks))
