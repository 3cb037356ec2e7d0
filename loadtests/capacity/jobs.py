"""Jobs: who waits and who is next, and how a running one walks its plan.

The order is the orchestrator's own (`orchestrator/scheduling/policy.py`).
Must not know: nodes, autoscalers, or where service times come from.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import simpy

from loadtests.capacity.clips import Arrival, Kind, Step
from loadtests.capacity.cluster import Cluster, Pod
from loadtests.capacity.nodes import Events
from loadtests.capacity.service_times import Draws, ServiceTimes
from orchestrator.scheduling.policy import Policies, Shares, Waiting, choose
from orchestrator.timing import Line

Attempt = Generator[simpy.Event, Any, float | None]


@dataclass(frozen=True)
class JobRecord:
    """What became of a job; seconds of the simulation, NaN for what did not happen."""

    kind: str
    line: Line
    tenant: str
    created: float
    taken: float = math.nan
    ended: float = math.nan
    refused: bool = False

    @property
    def latency(self) -> float:
        """Seconds from its creation to its end."""
        return self.ended - self.created


@dataclass(frozen=True)
class RunRecord:
    """One attempt of a stage run: its place at a pod from `begin` to `end`. lost: seconds computed in vain."""

    job: int
    stage: str
    pod: int
    begin: float
    end: float
    lost: float = 0.0


class Job:
    """A job. compute, dispatch: seconds of each step's computing, and of its place beyond that. gpu: with which its GPU
    runs wait for each other, where they must."""

    def __init__(self, number: int, arrival: Arrival, kind: Kind) -> None:
        self.number, self.arrival, self.kind = number, arrival, kind
        self.created = self.taken = math.nan
        self.compute: list[float] = []
        self.dispatch: list[float] = []
        self.finish = 0.0
        self.missing = [len(step.needs) for step in kind.steps]
        self.left = len(kind.steps)
        self.gpu: simpy.Resource | None = None


@dataclass(frozen=True)
class Terms:
    """How jobs are done.

    Attributes:
        places: jobs that run at once. sharding: whether a job's GPU runs may be under way at the same time.
        checkpoints: stage -> seconds of computing between two saved states.
        keep_runs: whether to record every stage run.
    """

    kinds: Mapping[str, Kind]
    times: ServiceTimes
    places: int
    policies: Policies
    sharding: bool
    checkpoints: Mapping[str, float]
    keep_runs: bool


class Service:
    """The queue, and the jobs that run."""

    def __init__(self, env: simpy.Environment, *, terms: Terms, cluster: Cluster, draws: Draws) -> None:
        self._env, self._terms, self._cluster, self._draws = env, terms, cluster, draws
        self._waiting: dict[tuple[str, Line], deque[Job]] = {}
        self._pending: Counter[str] = Counter()
        self._running: Counter[str] = Counter()
        self._under_way = 0
        self._shares = Shares(0.0, {})
        self.records: dict[int, JobRecord] = {}
        self.runs: list[RunRecord] = []
        self.lost_seconds = 0.0
        self.ended: Callable[[], None] = lambda: None
        """Called when a job has ended or is refused."""

    def create(self, number: int, arrival: Arrival) -> None:
        """A job comes in. All its times are drawn now, so that a larger fleet gets the very same work."""
        job = Job(number, arrival, self._terms.kinds[arrival.kind])
        times, draws = self._terms.times, self._draws
        job.created = self._env.now
        job.compute = [draws.seconds(times.of(arrival.kind, step.stage)) * step.units for step in job.kind.steps]
        job.dispatch = [draws.seconds(times.dispatch) for _ in job.kind.steps]
        job.finish = draws.seconds(times.finish)
        delay = draws.seconds(times.queue)
        if self._pending[arrival.tenant] >= self._terms.policies.of(arrival.tenant).pending:
            self._record(job, refused=True)
            return
        self._pending[arrival.tenant] += 1
        self._env.process(self._enter(job, delay))

    def oldest(self, line: Line) -> float:
        """Seconds that the longest waiting job of the line has."""
        heads = [queue[0].created for (_, of), queue in self._waiting.items() if of is line and queue]
        return self._env.now - min(heads) if heads else 0.0

    def _enter(self, job: Job, delay: float) -> Events:
        yield self._env.timeout(delay)
        self._waiting.setdefault((job.arrival.tenant, job.arrival.line), deque()).append(job)
        self._take()

    def _take(self) -> None:
        while self._under_way < self._terms.places:
            lines = [Waiting(tenant, line, len(jobs)) for (tenant, line), jobs in self._waiting.items() if jobs]
            chosen = choose(lines, self._running, self._shares, self._terms.policies) if lines else None
            if chosen is None:
                return
            job = self._waiting[chosen.tenant, chosen.line].popleft()
            weight = self._terms.policies.of(chosen.tenant).weight
            self._shares = self._shares.after(chosen.tenant, cost=job.kind.cost, weight=weight)
            self._pending[chosen.tenant] -= 1
            self._running[chosen.tenant] += 1
            self._under_way += 1
            self._begin(job)

    def _begin(self, job: Job) -> None:
        job.taken = self._env.now
        if not self._terms.sharding:
            job.gpu = simpy.Resource(self._env, 1)
        for index, missing in enumerate(job.missing):
            if missing == 0:
                self._env.process(self._step(job, index))

    def _step(self, job: Job, index: int) -> Events:
        """A node of the plan, from having its inputs to having its result; then those that waited for it alone."""
        step = job.kind.steps[index]
        if job.gpu is not None and self._cluster.on_gpu(step.stage):
            with job.gpu.request() as alone:
                yield alone
                yield from self._run(job, step, index)
        else:
            yield from self._run(job, step, index)
        job.left -= 1
        for later, other in enumerate(job.kind.steps):
            if index in other.needs:
                job.missing[later] -= 1
                if job.missing[later] == 0:
                    self._env.process(self._step(job, later))
        if job.left == 0:
            yield self._env.timeout(job.finish)
            self._end(job)

    def _run(self, job: Job, step: Step, index: int) -> Events:
        """The stage run, again and again until no pod is lost under it."""
        saved = 0.0
        while True:
            kept = yield from self._attempt(job, step, index, saved)
            if kept is None:
                return
            saved = kept

    def _attempt(self, job: Job, step: Step, index: int, saved: float) -> Attempt:
        """One attempt, after `saved` seconds of computing. Returns the seconds saved by now, None when it is done."""
        holder = self._env.active_process
        assert holder is not None
        ticket = self._cluster.ask(step.stage, holder)
        begin = begun = math.nan
        kept: float | None = None
        lost = 0.0
        try:
            pod: Pod = yield ticket.granted
            begin = self._env.now
            if job.dispatch[index] > 0:
                yield self._env.timeout(job.dispatch[index])
            begun = self._env.now
            self._cluster.compute(pod, 1)
            yield self._env.timeout(job.compute[index] - saved)
        except simpy.Interrupt as interrupt:
            pod = cast(Pod, interrupt.cause)
            reached = saved if math.isnan(begun) else saved + self._env.now - begun
            kept = max(saved, self._kept(step.stage, reached))
            lost = reached - kept
            self.lost_seconds += lost
        if not math.isnan(begun):
            self._cluster.compute(pod, -1)
        if self._terms.keep_runs:
            begin = self._env.now if math.isnan(begin) else begin
            self.runs.append(RunRecord(job.number, step.stage, pod.number, begin, self._env.now, lost))
        self._cluster.give_back(step.stage, pod, holder)
        return kept

    def _kept(self, stage: str, reached: float) -> float:
        """Seconds of computing that the last checkpoint has."""
        every = self._terms.checkpoints.get(stage, 0.0)
        return math.floor(reached / every) * every if every > 0 else 0.0

    def _end(self, job: Job) -> None:
        self._running[job.arrival.tenant] -= 1
        self._under_way -= 1
        self._record(job)
        self._take()

    def _record(self, job: Job, *, refused: bool = False) -> None:
        arrival = job.arrival
        ended = math.nan if refused else self._env.now
        self.records[job.number] = JobRecord(
            arrival.kind, arrival.line, arrival.tenant, job.created, job.taken, ended, refused
        )
        self.ended()
