"""Puts it together: a setup, arrivals and a seed in; what became of every job, and what the cluster cost, out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

import numpy as np
import simpy

from loadtests.capacity.clips import Arrival, Kind
from loadtests.capacity.cluster import Cluster, Group
from loadtests.capacity.jobs import JobRecord, RunRecord, Service, Terms
from loadtests.capacity.nodes import Events, NodePool, Window
from loadtests.capacity.rules import SYNC_SECONDS, Memory, decide
from loadtests.capacity.service_times import Draws, ServiceTimes
from orchestrator.scheduling.policy import Policies
from orchestrator.timing import Line

_EMPTY: Mapping[str, float] = {}


@dataclass(frozen=True)
class Setup:
    """Everything but the arrivals.

    Attributes:
        running_jobs, running_stages: of one orchestrator. orchestrators: how many.
        sharding: whether a job's GPU runs may be under way at the same time, on several GPUs.
        checkpoints: stage -> seconds of computing between two saved states.
        count_from, count_until: seconds between which busy share, cost and latencies are counted; jobs count by
            their creation.
        keep_runs: record every stage run, for tests and close looks.
    """

    kinds: Mapping[str, Kind]
    times: ServiceTimes
    pools: Sequence[NodePool]
    groups: Sequence[Group]
    running_jobs: int = 16
    running_stages: int = 64
    orchestrators: int = 1
    policies: Policies = field(default_factory=Policies)
    sharding: bool = True
    checkpoints: Mapping[str, float] = field(default_factory=lambda: _EMPTY)
    count_from: float = 0.0
    count_until: float = math.inf
    sample_seconds: float = 60.0
    keep_runs: bool = False


@dataclass(frozen=True)
class Sample:
    """A look at the queues. interactive, batch: age of the oldest waiting job, stage: of the oldest waiting run.

    pods: group -> pods that serve.
    """

    at: float
    interactive: float
    batch: float
    stage: float
    pods: Mapping[str, int]


@dataclass(frozen=True)
class Outcome:
    """What happened.

    Attributes:
        records: of every job, in order of arrival.
        busy_share: of the paid GPU time, how much computed. gpu_hours: paid. cost: of all nodes, within the window.
        preempted: nodes taken back. lost_seconds: computed in vain because of that.
        runs: with `keep_runs`, every attempt of a stage run.
    """

    records: tuple[JobRecord, ...]
    begin: float
    end: float
    busy_share: float
    gpu_hours: float
    cost: float
    samples: tuple[Sample, ...]
    preempted: int
    lost_seconds: float
    runs: tuple[RunRecord, ...]

    @property
    def counted(self) -> list[JobRecord]:
        """Jobs created within the window that ended."""
        return [r for r in self.records if not r.refused and self.begin <= r.created < self.end]

    @property
    def clips_per_hour(self) -> float:
        """Jobs that ended within the window, per hour."""
        done = sum(self.begin <= record.ended < self.end for record in self.records)
        return done / (self.end - self.begin) * 3600

    @property
    def cost_per_clip(self) -> float:
        done = sum(self.begin <= record.ended <= self.end for record in self.records)
        return self.cost / done if done else math.nan

    @property
    def refused(self) -> int:
        return sum(record.refused for record in self.records)

    def latency(self, line: Line | None = None, share: float = 0.95) -> float:
        """Seconds from creation to end that `share` of the line's counted jobs stay below; 0 without such jobs."""
        values = [r.latency for r in self.counted if line is None or r.line is line]
        return float(np.quantile(values, share)) if values else 0.0

    def mean_latency(self) -> float:
        values = [record.latency for record in self.counted]
        return sum(values) / len(values) if values else 0.0


def simulate(setup: Setup, arrivals: Sequence[Arrival], seed: int) -> Outcome:
    """Run until every job has ended or is refused. The same arguments give the same outcome."""
    env = simpy.Environment()
    window = Window(setup.count_from, setup.count_until)
    cluster = Cluster(
        env,
        pools=setup.pools,
        groups=setup.groups,
        total=setup.running_stages * setup.orchestrators,
        # Its own numbers: preemptions must not change the jobs' work.
        draws=Draws(seed + 1_000_003),
        window=window,
    )
    terms = Terms(
        kinds=setup.kinds,
        times=setup.times,
        places=setup.running_jobs * setup.orchestrators,
        policies=setup.policies,
        sharding=setup.sharding,
        checkpoints=setup.checkpoints,
        keep_runs=setup.keep_runs,
    )
    service = Service(env, terms=terms, cluster=cluster, draws=Draws(seed))
    samples: list[Sample] = []
    ordered = sorted(arrivals, key=lambda arrival: arrival.at)
    done = _all_ended(env, service, len(ordered), setup)
    env.process(_arrive(env, service, ordered))
    env.process(_watch(env, service, cluster, setup.sample_seconds, samples))
    if any(group.rules is not None and not group.worker for group in setup.groups):
        env.process(_autoscale(env, cluster))
    if ordered:
        env.run(until=done)
    return _outcome(env, setup, cluster, service, samples)


def _all_ended(env: simpy.Environment, service: Service, jobs: int, setup: Setup) -> simpy.Event:
    """Happens when all jobs are over, and not before a window with an end is."""
    done = env.event()
    left = count(jobs - 1, -1)

    def ended() -> None:
        if next(left) == 0:
            done.succeed()

    service.ended = ended
    if math.isinf(setup.count_until):
        return done
    return env.all_of([done, env.timeout(setup.count_until)])


def _arrive(env: simpy.Environment, service: Service, arrivals: Sequence[Arrival]) -> Events:
    for number, arrival in enumerate(arrivals):
        if arrival.at > env.now:
            yield env.timeout(arrival.at - env.now)
        service.create(number, arrival)


def _autoscale(env: simpy.Environment, cluster: Cluster) -> Events:
    memories = {group.name: Memory() for group in cluster.groups}
    while True:
        yield env.timeout(SYNC_SECONDS)
        for group in cluster.groups:
            if group.rules is None or group.worker:
                continue
            pods = cluster.size(group)
            wanted, memories[group.name] = decide(
                now=env.now,
                pods=pods,
                ready=cluster.ready(group),
                loads=cluster.loads(group),
                rules=group.rules,
                memory=memories[group.name],
            )
            if wanted != pods:
                cluster.resize(group, wanted)


def _watch(env: simpy.Environment, service: Service, cluster: Cluster, every: float, samples: list[Sample]) -> Events:
    stages = [stage for group in cluster.groups for stage in group.stages]
    while True:
        samples.append(
            Sample(
                at=env.now,
                interactive=service.oldest(Line.INTERACTIVE),
                batch=service.oldest(Line.BATCH),
                stage=max(cluster.oldest(stage) for stage in stages),
                pods={group.name: cluster.ready(group) for group in cluster.groups},
            )
        )
        yield env.timeout(every)


def _outcome(
    env: simpy.Environment, setup: Setup, cluster: Cluster, service: Service, samples: Sequence[Sample]
) -> Outcome:
    pools = cluster.nodes.values()
    hours = sum(nodes.card_hours() for nodes in pools if nodes.pool.gpu)
    return Outcome(
        records=tuple(service.records[number] for number in sorted(service.records)),
        begin=setup.count_from,
        end=min(setup.count_until, env.now),
        busy_share=cluster.busy_seconds / 3600 / hours if hours else 0.0,
        gpu_hours=hours,
        cost=sum(nodes.cost for nodes in pools),
        samples=tuple(samples),
        preempted=sum(nodes.preempted for nodes in pools),
        lost_seconds=service.lost_seconds,
        runs=tuple(service.runs),
    )
