"""What grows while the load does not: Theil-Sen slopes (Sen 1968), which single outliers do not move. Pure.

Must not know: what the figures are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from loadtests.report.summary import Written

_WARM_SHARE = 0.25
"""Of a run, in which caches and pools fill."""
_POINTS = 240
_HOUR = 3600.0


def slopes(run: Written) -> dict[str, Any]:
    """Per component and figure, the growth an hour in percent of its middle value; of what is near nothing, and of
    counts, as it is."""
    series: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for sample in run.samples:
        at = sample.time - run.began
        if not _WARM_SHARE * run.duration <= at <= run.duration:
            continue
        for name, process in sample.processes.items():
            series[name]["memory_percent"].append((at, float(process.memory_bytes)))
            series[name]["files"].append((at, float(process.files)))
            series[name]["threads"].append((at, float(process.threads)))
        series["machine"]["shared_megabytes"].append((at, sample.shared_bytes / 1e6))
        if sample.store_bytes is not None:
            series["store"]["percent"].append((at, float(sample.store_bytes)))
        if sample.database_bytes is not None:
            series["database"]["percent"].append((at, float(sample.database_bytes)))
    return {
        name: {figure: _per_hour(points, relative=figure.endswith("percent")) for figure, points in figures.items()}
        for name, figures in sorted(series.items())
    }


def worst(found: dict[str, Any], figure: str) -> float | None:
    """The greatest slope of that figure, over all components."""
    values = [one[figure] for one in found.values() if one.get(figure) is not None]
    return max(values, default=None)


def _per_hour(points: Sequence[tuple[float, float]], *, relative: bool) -> float | None:
    if len(points) < 10:
        return None
    slope = theil_sen(points) * _HOUR
    middle = float(np.median([value for _, value in points]))
    if not relative:
        return round(slope, 4)
    return round(100 * slope / middle, 4) if middle else 0.0


def theil_sen(points: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between all pairs, of at most 240 points evenly taken."""
    step = max(1, len(points) // _POINTS)
    t, y = (np.array(axis, dtype=float) for axis in zip(*points[::step], strict=True))
    i, j = np.triu_indices(len(t), k=1)
    apart = t[j] - t[i]
    return float(np.median((y[j] - y[i])[apart > 0] / apart[apart > 0]))
