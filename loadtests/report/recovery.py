"""How a service bears what is too much for it, and how soon it is well again. Pure.

Must not know: what was done to it.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from loadtests.report.summary import Written, queue_age

_CALM_SECONDS = 5.0
"""The queue is back to normal when it has been so for so long."""
_NORMAL_SECONDS = 2.0
"""An age of the queue that nobody minds, however calm it was before."""
_FILLING_SECONDS = 60.0
"""Of a burst, in which the places fill."""


def overload(run: Written, burst: Mapping[str, float]) -> dict[str, Any]:
    """Figures of a run with a burst (loadtests/arrivals.py) that asks for more than there is.

    goodput: jobs done in the burst, as a share of what the busiest stage's places could do with the stage times of the
    run. hinted: share of the refusals that said when to come back. recovery_seconds: from the burst's end until the
    queue was as young as before.
    """
    end = burst["start"] + burst["length"]
    begin = burst["start"] + min(_FILLING_SECONDS, burst["length"] / 4)
    done = [one for one in run.records if one.outcome == "succeeded" and begin <= one.ended < end and not one.preview]
    most = capacity(run)
    refused = [one for one in run.records if one.outcome == "refused"]
    before = [queue_age(one) for one in run.samples if one.time - run.began < burst["start"]]
    return {
        "capacity_per_second": round(most, 4),
        "offered_per_second": burst["peak"],
        "goodput": round(len(done) / (end - begin) / most, 4) if most else None,
        "refused": len(refused),
        "hinted": round(sum(one.retry_after > 0 for one in refused) / len(refused), 4) if refused else None,
        "recovery_seconds": calm_after(run, end, normal=_normal(before)),
    }


def _normal(ages: Sequence[float]) -> float:
    """Of the queue before anything happened; not its worst moment, which a late start may have made."""
    return max(_NORMAL_SECONDS, statistics.median(ages)) if ages else _NORMAL_SECONDS


def capacity(run: Written) -> float:
    """Jobs a second that the places of the busiest stage could do, were they never free; from the stage times of the
    run. 0 where no places are known."""
    jobs = [one for one in run.records if one.outcome == "succeeded" and not one.preview]
    places = run.capacity.get("places", {})
    seconds: dict[str, float] = {}
    for job in jobs:
        for one in job.stages:
            seconds[one.stage] = seconds.get(one.stage, 0.0) + one.seconds
    rates = [places[stage] * len(jobs) / total for stage, total in seconds.items() if places.get(stage) and total]
    return min(rates, default=0.0)


def calm_after(run: Written, moment: float, *, normal: float) -> float | None:
    """Seconds from `moment` of the run until the queue was at most `normal` seconds old, and stayed so. None: never."""
    ages = [(one.time - run.began, queue_age(one)) for one in run.samples if one.asked]
    later = [(at, age) for at, age in ages if at >= moment]
    for i, (at, _) in enumerate(later):
        ahead = [age for when, age in later[i:] if when <= at + _CALM_SECONDS]
        if max(ahead) <= normal:
            return round(max(0.0, at - moment), 2)
    return None


def recoveries(run: Written, marks: Sequence[tuple[float, str]]) -> list[dict[str, Any]]:
    """For each thing that was done to the service: how long until jobs ended again, and until the queue was calm."""
    first = min((at for at, _ in marks), default=0.0)
    normal = _normal([queue_age(one) for one in run.samples if one.time - run.began < first])
    ends = sorted(one.ended for one in run.records if one.outcome == "succeeded")
    found = []
    for at, words in marks:
        next_end = next((end - at for end in ends if end > at), None)
        found.append(
            {
                "at": round(at, 2),
                "what": words,
                "next_job_seconds": round(next_end, 2) if next_end is not None else None,
                "calm_seconds": calm_after(run, at, normal=normal),
            }
        )
    return found
