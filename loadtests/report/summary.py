"""A run as a report: what came of the requests, how long they took, where the time went, what was busy.

`summarised` is a pure function of what was written down; the JSON of its result is the report.
Must not know: how it is shown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from loadtests.drive.record import Record
from loadtests.measure.samples import Sample
from loadtests.measure.triton import ModelTimes
from loadtests.report.figures import quantiles, spread, windows
from loadtests.report.hops import HOPS, JobHops

FORMAT = 1
_WINDOWS = 60
_FEWEST_WINDOWS = 12
_JOBS_A_WINDOW = 3
_FIRST_PART = 0.2
"""Of a run that is not counted as its steady state: the queue fills."""


@dataclass(frozen=True)
class Written:
    """What a run wrote down.

    Attributes:
        scenario: as it is told: name, duration, seed, kinds, ...
        began: seconds since the epoch. duration: seconds in which requests arrived.
        models: what the model servers did meanwhile.
        marks: (seconds, what happened) of a run in which something was done on purpose.
    """

    scenario: Mapping[str, Any]
    target: str
    began: float
    duration: float
    records: Sequence[Record]
    samples: Sequence[Sample] = ()
    hops: Sequence[JobHops] = ()
    models: Mapping[str, ModelTimes] = field(default_factory=dict)
    capacity: Mapping[str, Any] = field(default_factory=dict)
    marks: Sequence[tuple[float, str]] = ()
    machine: Mapping[str, Any] = field(default_factory=dict)


def summarised(run: Written) -> dict[str, Any]:
    """The report. All times are seconds."""
    jobs = [record for record in run.records if not record.preview]
    return {
        "format": FORMAT,
        "scenario": dict(run.scenario),
        "target": run.target,
        "machine": dict(run.machine),
        "began": run.began,
        "duration": run.duration,
        "outcomes": _outcomes(run.records),
        "classes": _classes(run.records),
        "waits": {line: spread(_waits(jobs, line)) for line in _lines(jobs)},
        "throughput": _throughput(jobs, run.duration),
        "calls": _calls(run.records),
        "stages": _stages(jobs),
        "hops": _hops(run.hops),
        "models": {name: _model(times) for name, times in sorted(run.models.items()) if times.requests},
        "busy": _busy(run),
        "resources": _resources(run),
        "series": _series(run),
        "marks": [list(mark) for mark in run.marks],
        "cancels": spread([job.ended - job.cancel_asked for job in jobs if _stopped(job)]),
        "driver": spread([record.sent - record.due for record in run.records]),
        # What a simulation needs (loadtests/capacity).
        "capacity": dict(run.capacity),
        "kinds": dict(run.scenario.get("kinds", {})),
        "distributions": _distributions(jobs),
        "overheads": _overheads(run, jobs),
        "jobs": [_job(job) for job in jobs],
    }


def _stopped(job: Record) -> bool:
    return job.outcome == "cancelled" and job.cancel_asked > 0


def _lines(records: Sequence[Record]) -> list[str]:
    return sorted({record.line for record in records})


def _outcomes(records: Sequence[Record]) -> dict[str, Any]:
    counts: dict[str, int] = defaultdict(int)
    reasons: dict[str, int] = defaultdict(int)
    for record in records:
        counts[record.outcome] += 1
        if record.reason or record.outcome == "failed":
            reasons[record.reason or record.message[:80]] += 1
    refused = [record for record in records if record.outcome == "refused"]
    accepted = [record for record in records if record.name or record.preview]
    return {
        "requests": len(records),
        **{name: counts[name] for name in ("succeeded", "failed", "cancelled", "refused", "error", "lost")},
        "accepted_jobs": len([record for record in accepted if not record.preview]),
        "refused_with_hint": sum(record.retry_after > 0 for record in refused),
        "reasons": dict(reasons),
    }


def _classes(records: Sequence[Record]) -> dict[str, Any]:
    """Latencies as clients feel them: from the moment a request was due."""
    done = [record for record in records if record.outcome == "succeeded"]
    found = {
        line: spread([one.latency for one in done if one.line == line and not one.preview]) for line in _lines(done)
    }
    previews = [one.latency for one in done if one.preview]
    return {**found, **({"preview": spread(previews)} if previews else {})}


def _waits(jobs: Sequence[Record], line: str) -> list[float]:
    return [job.taken - job.created for job in jobs if job.taken and job.line == line]


def _throughput(jobs: Sequence[Record], duration: float) -> dict[str, float]:
    """Jobs a second: offered, and done within the time in which requests arrived, its first part left out."""
    begin = _FIRST_PART * duration
    ended = [job for job in jobs if job.outcome == "succeeded" and begin <= job.ended < duration]
    return {
        "offered": round(len(jobs) / duration, 4),
        "done": round(len(ended) / (duration - begin), 4),
    }


def _calls(records: Sequence[Record]) -> dict[str, Any]:
    seconds: dict[str, list[float]] = defaultdict(list)
    for record in records:
        for name, took in record.calls.items():
            seconds[name].append(took)
    return {name: spread(took) for name, took in sorted(seconds.items())}


def _stages(jobs: Sequence[Record]) -> dict[str, Any]:
    seconds: dict[str, list[float]] = defaultdict(list)
    for job in jobs:
        for run in job.stages:
            if not run.cached:
                seconds[run.stage].append(run.seconds)
    return {stage: {**spread(took), "sum": round(sum(took), 3)} for stage, took in sorted(seconds.items())}


def _hops(hops: Sequence[JobHops]) -> dict[str, Any]:
    """Each hop's seconds per job, and its share of all the time that clients waited."""
    if not hops:
        return {}
    total = sum(job.total for job in hops)
    found = {
        name: {
            **spread([job.seconds[name] for job in hops]),
            "share": round(sum(job.seconds[name] for job in hops) / total, 5),
        }
        for name in HOPS
    }
    sums = {"waiting": [job.waiting for job in hops], "overhead": [job.overhead for job in hops]}
    busy = sum(job.total - job.waiting for job in hops)
    found |= {name: {**spread(took), "share": round(sum(took) / total, 5)} for name, took in sums.items()}
    # Of the time in which something was done for the job.
    found["overhead"]["share_of_work"] = round(sum(sums["overhead"]) / busy, 5)
    return found


def _model(times: ModelTimes) -> dict[str, float]:
    return {
        "requests": times.requests,
        "queued": round(times.queued / times.requests, 6),
        "computed": round(times.computed / times.requests, 6),
    }


def _busy(run: Written) -> dict[str, Any]:
    """Shares of the time in which requests arrived."""
    within = [sample for sample in run.samples if 0 <= sample.time - run.began <= run.duration]
    found: dict[str, Any] = {}
    if len(within) > 1:
        seconds = within[-1].time - within[0].time
        first, last = within[0].gpu_busy_seconds, within[-1].gpu_busy_seconds
        gpus = int(run.capacity.get("gpus", 0))
        if first is not None and last is not None and last >= first and gpus:
            found["gpu"] = round((last - first) / seconds / gpus, 4)
        found["processors"] = {
            name: round((last_one.cpu_seconds - within[0].processes[name].cpu_seconds) / seconds, 4)
            for name, last_one in within[-1].processes.items()
            if name in within[0].processes and last_one.cpu_seconds >= within[0].processes[name].cpu_seconds
        }
    places = run.capacity.get("places", {})
    found["stages"] = {
        stage: round(times.computed / (run.duration * places[stage]), 4)
        for stage, times in sorted(run.models.items())
        if places.get(stage) and times.requests
    }
    return found


def _resources(run: Written) -> dict[str, Any]:
    """First, last and greatest of what a process or a folder holds."""
    found: dict[str, Any] = {}
    series: dict[str, list[float]] = defaultdict(list)
    for sample in run.samples:
        for name, process in sample.processes.items():
            series[f"{name}.memory_bytes"].append(process.memory_bytes)
            series[f"{name}.files"].append(process.files)
        series["shared_bytes"].append(sample.shared_bytes)
        for name in ("store_bytes", "database_bytes"):
            if (value := getattr(sample, name)) is not None:
                series[name].append(value)
    for name, values in sorted(series.items()):
        found[name] = {"first": values[0], "last": values[-1], "max": max(values)}
    return found


def queue_age(sample: Sample) -> float:
    """Seconds that the longest waiting job has waited."""
    ages = [value for name, value in sample.figures.items() if name.startswith("omnimatte_queue_oldest_seconds")]
    return max(ages, default=0.0)


def _series(run: Written) -> dict[str, Any]:
    """By time: what clients saw, and what the service said."""
    whole = max([run.duration, *(record.heard for record in run.records)])
    done = [record for record in run.records if record.outcome == "succeeded" and not record.preview]
    count = max(_FEWEST_WINDOWS, min(_WINDOWS, len(run.records) // _JOBS_A_WINDOW))
    ended = windows(done, at=lambda one: one.heard, duration=whole, count=count)
    sent = windows(run.records, at=lambda one: one.due, duration=whole, count=count)
    looked = windows(run.samples, at=lambda one: one.time - run.began, duration=whole, count=count)
    found: dict[str, Any] = {"t": [round((start + end) / 2, 3) for start, end, _ in ended]}
    for line in _lines(done):
        of_line = [[one.latency for one in inside if one.line == line] for _, _, inside in ended]
        for cut in ("p50", "p95"):
            found[f"{line}_{cut}"] = [spread(values).get(cut) for values in of_line]
    for stage in sorted({run.stage for one in done for run in one.stages}):
        found[f"stage {stage}"] = [
            spread([run.seconds for one in inside for run in one.stages if run.stage == stage and not run.cached]).get(
                "p95"
            )
            for _, _, inside in ended
        ]
    length = whole / count
    found["offered"] = [round(len(inside) / length, 4) for _, _, inside in sent]
    found["refused"] = [round(sum(one.outcome == "refused" for one in inside) / length, 4) for _, _, inside in sent]
    found["done"] = [round(len(inside) / length, 4) for _, _, inside in ended]
    found["queue_age"] = [max((queue_age(one) for one in inside), default=None) for _, _, inside in looked]
    found["queue_length"] = [
        max((one.figures.get("omnimatte_queue_length", 0.0) for one in inside), default=None) for _, _, inside in looked
    ]
    found["gpu"] = [_gpu_share(inside, int(run.capacity.get("gpus", 0))) for _, _, inside in looked]
    return found


def _gpu_share(samples: Sequence[Sample], gpus: int) -> float | None:
    counted = [one for one in samples if one.gpu_busy_seconds is not None]
    if len(counted) < 2 or not gpus:
        return None
    first, last = counted[0], counted[-1]
    gained = (last.gpu_busy_seconds or 0.0) - (first.gpu_busy_seconds or 0.0)
    return round(max(0.0, gained) / (last.time - first.time) / gpus, 4)


def _distributions(jobs: Sequence[Record]) -> dict[str, dict[str, list[float]]]:
    """Kind of clip -> stage -> 101 quantiles of seconds."""
    seconds: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for job in jobs:
        for run in job.stages:
            if not run.cached:
                seconds[job.kind][run.stage].append(run.seconds)
    return {
        kind: {stage: quantiles(took) for stage, took in sorted(stages.items())}
        for kind, stages in sorted(seconds.items())
    }


def _overheads(run: Written, jobs: Sequence[Record]) -> dict[str, list[float]]:
    """Quantiles of what the control plane adds where nothing has to wait: before a job, before each stage run of its
    chain (the way to the stage and its publishing included), and after the last."""
    places = int(run.capacity.get("running_jobs", 0))
    taken = [job for job in jobs if job.taken]
    free = [
        job.taken - job.created
        for job in taken
        if sum(other.created < job.created < (other.ended or 1e18) for other in taken) < places
    ]
    dispatches = [
        seconds + (job.seconds["triton"] + job.seconds["publish"] + job.seconds["load"]) / len(job.dispatches)
        for job in run.hops
        for seconds in job.dispatches
    ]
    ends = {job.job: job.seconds["end"] for job in run.hops}
    finish = [max(0.0, ends[job.name] - (job.heard - job.ended)) for job in jobs if job.name in ends]
    return {"queue": quantiles(free), "dispatch": quantiles(dispatches), "finish": quantiles(finish)}


def _job(record: Record) -> dict[str, Any]:
    data = asdict(record)
    names = ("number", "kind", "line", "tenant", "due", "sent", "created", "taken", "ended", "heard")
    kept = {name: round(data[name], 4) if isinstance(data[name], float) else data[name] for name in names}
    # A moment that never came.
    unknown = {name: None for name in ("created", "taken", "ended") if not data[name]}
    return {**kept, **unknown, "state": record.outcome}
