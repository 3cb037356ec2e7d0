"""Where a job's time went, hop by hop, from its spans: the parts of one job add up to the time that its client waited.

Backwards from its end, a job has one chain of stage runs: each began when the one before it had ended. Beside that
chain others computed too, which costs nobody time. Along it:

    driver       the load generator was late
    upload       the files travelled
    client-api   what is left: mostly the way of CreateJob to the server
    api          the server's part of CreateJob, until the job is in the queue
    queue        the job waited for its turn
    dispatch     from its turn to the first stage run, and between the runs of the chain
    place        a run waited for a place at its stage
    triton       a run as the orchestrator saw it, less as the stage did: the way, and Triton's queue
    load         the stage's model was loaded, if it was not
    store        the stage read and wrote
    publish      the stage looked for its artifact before, and made it visible after
    compute      the rest of the stage's time
    end          from the last run to the client's knowledge of the end

Must not know: how spans are collected.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from loadtests.drive.record import Record
from loadtests.measure.spans import Span

HOPS = (
    "driver",
    "upload",
    "client-api",
    "api",
    "queue",
    "dispatch",
    "place",
    "triton",
    "load",
    "store",
    "publish",
    "compute",
    "end",
)
_SLACK_SECONDS = 0.002
_ATTEMPT, _QUEUED, _CREATE = "attempt", "queued", "omnimatte.v1.Omnimatte/CreateJob"


@dataclass(frozen=True)
class JobHops:
    """Seconds of one job by hop.

    Attributes:
        total: that the client waited, from the moment its request was due.
        dispatches: what the orchestrator needed before each run of the chain, its wait for a place not counted.
    """

    job: str
    total: float
    seconds: Mapping[str, float]
    dispatches: Sequence[float] = ()

    @property
    def waiting(self) -> float:
        """Seconds for want of a place, for the job or for a run: more machines make it less."""
        return self.seconds["queue"] + self.seconds["place"]

    @property
    def overhead(self) -> float:
        """Seconds that were neither computing nor waiting for others to have computed: the system's own."""
        return self.total - self.seconds["compute"] - self.waiting


def hops_of(records: Iterable[Record], spans: Iterable[Span], *, began: float) -> list[JobHops]:
    """Of every job that succeeded and whose spans are complete. began: of the run, seconds since the epoch."""
    traces: dict[str, list[Span]] = defaultdict(list)
    by_job: dict[str, str] = {}
    for span in spans:
        traces[span.trace].append(span)
        if span.name == _ATTEMPT:
            by_job[str(span.attributes.get("omnimatte.job", ""))] = span.trace
    found = []
    for record in records:
        trace = by_job.get(record.name.removeprefix("jobs/"), "")
        if record.outcome == "succeeded" and not record.preview and trace:
            job = _job(record, traces[trace], began)
            if job is not None:
                found.append(job)
    return found


@dataclass(frozen=True)
class _Run:
    """One stage run: as the orchestrator saw it, as the stage did, and its wait for a place."""

    asked: Span
    served: Span
    inner: Mapping[str, Span]
    place: Span | None

    @property
    def start(self) -> float:
        """When the orchestrator wished it to run."""
        return self.place.start if self.place else self.asked.start


def _job(record: Record, spans: Sequence[Span], began: float) -> JobHops | None:
    runs = _runs(spans)
    queued = next((span for span in spans if span.name == _QUEUED), None)
    creations = [span for span in spans if span.name == _CREATE]
    attempts = [span for span in spans if span.name == _ATTEMPT]
    if not runs or queued is None or not creations or len(attempts) != 1:
        # Retried by another replica, or some span was lost with a process.
        return None
    chain = _chain(runs)
    seconds = dict.fromkeys(HOPS, 0.0)
    server = min(creations, key=lambda span: span.seconds)
    seconds["driver"] = record.sent - record.due
    seconds["upload"] = record.calls.get("Upload", 0.0)
    # The answer to CreateJob is on its way while the job is begun.
    seconds["api"] = max(0.0, queued.start - server.start)
    seconds["queue"] = queued.seconds
    dispatches, before = [], queued.end
    for run in chain:
        dispatches.append(max(0.0, run.start - before))
        if run.place is not None:
            seconds["place"] += run.place.seconds
            dispatches[-1] += max(0.0, run.asked.start - run.place.end)
        _add_stage(seconds, run)
        before = run.asked.end
    seconds["dispatch"] = sum(dispatches)
    seconds["end"] = record.heard - (before - began)
    seconds["client-api"] = record.latency - sum(seconds.values())
    return JobHops(record.name, record.latency, seconds, dispatches)


def _add_stage(seconds: dict[str, float], run: _Run) -> None:
    load, work = run.inner.get("load"), run.inner.get("run")
    loading = load.seconds if load else 0.0
    inside = work.seconds if work else 0.0
    attributes = work.attributes if work else {}
    stored = sum(float(attributes.get(f"omnimatte.store.{way}_seconds", 0.0)) for way in ("read", "write"))
    stored = min(stored, inside)
    seconds["triton"] += max(0.0, run.asked.seconds - run.served.seconds)
    seconds["load"] += loading
    seconds["store"] += stored
    seconds["publish"] += max(0.0, run.served.seconds - loading - inside)
    seconds["compute"] += inside - stored


def _runs(spans: Sequence[Span]) -> list[_Run]:
    children: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        children[span.parent].append(span)
    places = [span for span in spans if span.name.startswith("place ")]
    found = []
    for span in spans:
        if not span.name.startswith("stage ") or span.failed:
            continue
        stage = span.name.removeprefix("stage ")
        served = [child for child in children[span.id] if child.name == stage]
        if not served:
            continue
        inner = {child.name: child for child in children[served[0].id]}
        waited = [one for one in places if one.name == f"place {stage}" and one.end <= span.start + _SLACK_SECONDS]
        # The one that was granted last before it began; several runs of a stage may have waited.
        place = max(waited, key=lambda one: one.end, default=None)
        if place is not None:
            places.remove(place)
        found.append(_Run(span, served[0], inner, place))
    return found


def _chain(runs: Sequence[_Run]) -> list[_Run]:
    """From the first run to the last; see above."""
    current = max(runs, key=lambda run: run.asked.end)
    chain = [current]
    while True:
        earlier = [run for run in runs if run.asked.end <= current.start + _SLACK_SECONDS and run not in chain]
        if not earlier:
            return chain[::-1]
        current = max(earlier, key=lambda run: run.asked.end)
        chain.append(current)
