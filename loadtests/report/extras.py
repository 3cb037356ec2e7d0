"""Figures that only some runs have: with a burst, with trouble on purpose, with GPUs that cost, for long. Pure.

Must not know: how they are shown.
"""

from __future__ import annotations

from typing import Any

from loadtests.report.recovery import capacity, overload, recoveries
from loadtests.report.slopes import slopes
from loadtests.report.summary import Written

_LONG_SECONDS = 240.0
GPU_HOUR = 2.0
"""US dollars that an hour of a GPU costs, for the order of magnitude; loadtests/capacity takes any price."""


def extras(run: Written) -> dict[str, Any]:
    """By name, what the run is good for."""
    found: dict[str, Any] = {"possible_per_second": round(capacity(run), 4)}
    arrivals = run.scenario.get("arrivals", {})
    if arrivals.get("process") == "Burst":
        found["overload"] = overload(run, arrivals)
    if run.marks:
        found["recoveries"] = recoveries(run, run.marks)
        waits = [one["calm_seconds"] for one in found["recoveries"]]
        found["recovered_seconds"] = None if None in waits else max(waits)
    if run.duration >= _LONG_SECONDS:
        found["slopes"] = slopes(run)
    cost = _cost(run)
    return {**found, **({"cost": cost} if cost else {})}


def _cost(run: Written) -> dict[str, Any]:
    """Of the GPUs that were there while requests arrived, by the clips done in that time."""
    gpus = int(run.capacity.get("gpus", 0))
    done = [one for one in run.records if one.outcome == "succeeded" and not one.preview and one.ended <= run.duration]
    if not gpus or not done:
        return {}
    total = gpus * run.duration / 3600 * GPU_HOUR
    return {"currency": "USD", "per_gpu_hour": GPU_HOUR, "per_clip": round(total / len(done), 6)}
