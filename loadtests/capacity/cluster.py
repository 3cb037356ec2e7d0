"""Groups of model pods on nodes, and the places for stage runs that they offer.

What waits for a place is queued as in `orchestrator/slots.py`: first come, first served for each stage, under a total.
Must not know: jobs, and how autoscalers decide.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import simpy

from loadtests.capacity.chart import SLICES
from loadtests.capacity.nodes import Events, Node, NodePool, Nodes, Window
from loadtests.capacity.rules import Load, Rules
from loadtests.capacity.service_times import Draws


@dataclass(frozen=True)
class Group:
    """One Deployment of pods, or workers that are made for one run each.

    Attributes:
        stages: that a pod serves. places: runs of each at once in a pod. together: of all; 0 for no such limit.
        pool: name of the node pool. slices: sevenths of a card that a pod takes.
        start_seconds: from a ready node to a pod that serves: image, start, models loaded.
        pods: at the start, and for good without `rules`.
        worker: a pod is made for each run and goes after it; then `pods` and `rules` mean nothing.
    """

    name: str
    stages: tuple[str, ...]
    places: Mapping[str, int]
    pool: str
    slices: int = SLICES
    start_seconds: float = 60.0
    pods: int = 1
    together: int = 0
    rules: Rules | None = None
    worker: bool = False

    def has(self, pod: Pod) -> bool:
        return pod.group is self


class Pod:
    """One pod. `holders`: the processes whose runs it has."""

    def __init__(self, number: int, group: Group) -> None:
        self.number, self.group = number, group
        self.node: Node | None = None
        self.ready = self.draining = self.gone = False
        self.used: Counter[str] = Counter()
        self.load = 0
        self.holders: dict[simpy.Process, None] = {}  # A dict keeps their order, a set would not.
        self.computing = 0
        self.since = 0.0

    def has_room(self, stage: str) -> bool:
        if not self.ready or self.draining or self.gone or self.used[stage] >= self.group.places[stage]:
            return False
        return self.group.together == 0 or self.load < self.group.together


@dataclass(eq=False)
class Ticket:
    """A run that waits: `granted` happens with the pod as its value."""

    number: int
    since: float
    holder: simpy.Process
    granted: simpy.Event


class Cluster:
    """All pods. Of a stage, the group that comes last in `groups` serves it."""

    def __init__(
        self,
        env: simpy.Environment,
        *,
        pools: Sequence[NodePool],
        groups: Sequence[Group],
        total: int,
        draws: Draws,
        window: Window,
    ) -> None:
        """total: stage runs under way at once. window: in which busy time and cost are counted."""
        self._env, self._total, self._window = env, total, window
        self.groups = tuple(groups)
        self.nodes = {pool.name: Nodes(env, pool=pool, draws=draws, window=window) for pool in pools}
        self._group_of = {stage: group for group in groups for stage in group.stages}
        self._pods: dict[str, list[Pod]] = {group.name: [] for group in groups}
        self._sizes = {group.name: 0 for group in groups}
        self._homeless: list[Pod] = []
        self._queues: dict[str, deque[Ticket]] = {stage: deque() for stage in self._group_of}
        self._open: dict[str, list[tuple[int, int, Pod]]] = {stage: [] for stage in self._group_of}
        self._flying: Counter[str] = Counter()
        self._tickets = self._numbers = self._under_way = 0
        self.busy_seconds = 0.0
        """Seconds of whole GPUs that computed, within the window."""
        for nodes in self.nodes.values():
            nodes.lost, nodes.released = self._lost, self._settle_homeless
            nodes.fill_warm()
        residents = [group for group in groups if not group.worker]
        for number in range(max((group.pods for group in residents), default=0)):
            # In turns, or all pods of a small group would share one card, and be lost together.
            for group in residents:
                if number < group.pods:
                    self.resize(group, number + 1)
        for nodes in self.nodes.values():
            nodes.settled = True

    # Runs of stages.

    def on_gpu(self, stage: str) -> bool:
        return self.nodes[self._group_of[stage].pool].pool.gpu

    def ask(self, stage: str, holder: simpy.Process) -> Ticket:
        """A ticket for a place. Its process is interrupted when the pod is lost."""
        self._tickets += 1
        ticket = Ticket(self._tickets, self._env.now, holder, self._env.event())
        self._queues[stage].append(ticket)
        group = self._group_of[stage]
        if group.worker:
            self.resize(group, self._sizes[group.name] + 1)
        self._admit()
        return ticket

    def give_back(self, stage: str, pod: Pod, holder: simpy.Process) -> None:
        """The run that holds a place at the pod is over, or was lost with the pod."""
        self._flying[stage] -= 1
        self._under_way -= 1
        pod.used[stage] -= 1
        pod.load -= 1
        pod.holders.pop(holder, None)
        if pod.group.worker and not pod.gone:
            self._sizes[pod.group.name] -= 1
            pod.draining = True
        if pod.draining and pod.load == 0:
            self._remove(pod)
        self._offer(pod)
        self._admit()

    def compute(self, pod: Pod, change: int) -> None:
        """A run begins (1) or ends (-1) computing at the pod."""
        if pod.computing > 0 and self.nodes[pod.group.pool].pool.gpu:
            self.busy_seconds += self._window.share_of(pod.since, self._env.now) * pod.group.slices / SLICES
        pod.since = self._env.now
        pod.computing += change

    def _offer(self, pod: Pod) -> None:
        for stage in pod.group.stages:
            if self._group_of[stage] is pod.group and pod.has_room(stage):
                heapq.heappush(self._open[stage], (pod.load, pod.number, pod))

    def _least_busy(self, stage: str) -> Pod | None:
        heap = self._open[stage]
        while heap:
            load, _, pod = heap[0]
            if load == pod.load and pod.has_room(stage):
                return pod
            heapq.heappop(heap)  # It has become fuller or emptier since, or is gone.
        return None

    def _admit(self) -> None:
        while self._under_way < self._total:
            # As in slots.py: a run that waits for its stage must not hold back those of others.
            heads = [(queue[0].number, stage) for stage, queue in self._queues.items() if queue]
            free = [head for head in heads if self._least_busy(head[1])]
            if not free:
                return
            _, stage = min(free)
            pod = self._least_busy(stage)
            assert pod is not None
            ticket = self._queues[stage].popleft()
            self._flying[stage] += 1
            self._under_way += 1
            pod.used[stage] += 1
            pod.load += 1
            pod.holders[ticket.holder] = None
            self._offer(pod)
            ticket.granted.succeed(pod)

    # What autoscalers see and do.

    def loads(self, group: Group) -> list[Load]:
        """As the autoscaler of the group reads it: KEDA over all stages together, a plain HPA for each."""
        each = [self._load(stage) for stage in group.stages]
        if group.rules is None or not group.rules.keda:
            return each
        return [Load(sum(load.pending for load in each), max(load.oldest for load in each))]

    def size(self, group: Group) -> int:
        """Pods that the group should have."""
        return self._sizes[group.name]

    def ready(self, group: Group) -> int:
        return sum(pod.ready and not pod.draining for pod in self._pods[group.name])

    def resize(self, group: Group, pods: int) -> None:
        """Give the group so many pods. Those that go end their runs first; first go those that serve nobody yet."""
        self._sizes[group.name] = pods
        here = [pod for pod in self._pods[group.name] if not pod.draining]
        for _ in range(pods - len(here)):
            self._add(group)
        for pod in sorted(here, key=lambda pod: (pod.ready, -pod.number))[: max(0, len(here) - pods)]:
            pod.draining = True
            if pod.load == 0:
                self._remove(pod)

    def oldest(self, stage: str) -> float:
        """Seconds that the longest waiting run of the stage has waited."""
        queue = self._queues[stage]
        return self._env.now - queue[0].since if queue else 0.0

    def _load(self, stage: str) -> Load:
        return Load(len(self._queues[stage]) + self._flying[stage], self.oldest(stage))

    # Pods.

    def _add(self, group: Group) -> None:
        self._numbers += 1
        pod = Pod(self._numbers, group)
        self._pods[group.name].append(pod)
        self._homeless.append(pod)
        self._settle_homeless()

    def _settle_homeless(self) -> None:
        """Find nodes for pods that have none, in order; one that fits nowhere does not hold back smaller ones."""
        waiting, self._homeless = self._homeless, []
        for pod in waiting:
            nodes = self.nodes[pod.group.pool]
            pod.node = nodes.place(pod, pod.group.slices, like=pod.group.has)
            if pod.node is None:
                self._homeless.append(pod)
            elif nodes.settled:
                self._env.process(self._start(pod, pod.node))
            else:
                self._serve(pod)

    def _start(self, pod: Pod, node: Node) -> Events:
        yield node.ready
        yield self._env.timeout(pod.group.start_seconds)
        if not pod.gone:
            self._serve(pod)
            self._admit()

    def _serve(self, pod: Pod) -> None:
        pod.ready = True
        self._offer(pod)

    def _remove(self, pod: Pod) -> None:
        pod.gone = True
        self._pods[pod.group.name].remove(pod)
        if pod.node is None:
            self._homeless.remove(pod)
        else:
            self.nodes[pod.group.pool].remove(pod, pod.node, pod.group.slices)

    def _lost(self, pods: list[Any]) -> None:
        """Their node was taken back: the runs there are told, and new pods take their place elsewhere."""
        for pod in pods:
            pod.gone = True
            self._pods[pod.group.name].remove(pod)
            for holder in list(pod.holders):
                holder.interrupt(pod)
            if pod.group.worker and pod.load:
                self._sizes[pod.group.name] -= 1  # Its run asks for a new worker itself.
            self.resize(pod.group, self._sizes[pod.group.name])
