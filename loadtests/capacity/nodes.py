"""Nodes that pods live on: how they come, how pods fit on their cards, what they cost, how spot nodes are taken back.

Must not know: stages, or why a pod is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import simpy

from loadtests.capacity.chart import SLICES
from loadtests.capacity.service_times import Draws

Events = Generator[simpy.Event, Any, None]


@dataclass(frozen=True)
class Window:
    """The time over which shares and costs are counted, in seconds of the simulation."""

    begin: float
    end: float

    def share_of(self, begin: float, end: float) -> float:
        """Seconds of it that lie between `begin` and `end`."""
        return max(0.0, min(self.end, end) - max(self.begin, begin))


@dataclass(frozen=True)
class NodePool:
    """One kind of node.

    Attributes:
        cards: GPUs of a node; of a CPU node, pods that it has room for.
        gpu: whether they are GPUs.
        provision_seconds: from the wish for a node until pods can start there.
        price_per_hour: of one card. It is paid from the wish on, as clouds do.
        warm: nodes that are there at the start and never given back.
        most: nodes at most.
        preemptions_per_hour: rate at which a node is taken back; 0 for nodes that are not spot.
        idle_seconds: without a pod, after which a node is given back.
    """

    name: str
    cards: int = 1
    gpu: bool = True
    provision_seconds: float = 180.0
    price_per_hour: float = 0.0
    warm: int = 0
    most: int = 1 << 30
    preemptions_per_hour: float = 0.0
    idle_seconds: float = 600.0


class Node:
    """One node. `free`: sevenths left on each card. `ready`: an event; pods can start when it has happened."""

    def __init__(self, *, pool: NodePool, begun: float, ready: simpy.Event) -> None:
        self.pool, self.begun, self.ready = pool, begun, ready
        self.free = [SLICES] * pool.cards
        self.pods: dict[Any, int] = {}
        self.gone = False
        self.emptied = begun

    def best(self, slices: int) -> tuple[bool, int, int] | None:
        """(whether it is unused, sevenths that would be left, card) of the card to take for a pod of `slices`."""
        fitting = [(left == SLICES, left - slices, card) for card, left in enumerate(self.free) if left >= slices]
        return min(fitting, default=None)


class Nodes:
    """The nodes of one pool. A pod is anything that can be a key of a dict."""

    def __init__(self, env: simpy.Environment, *, pool: NodePool, draws: Draws, window: Window) -> None:
        self._env, self.pool, self._draws, self._window = env, pool, draws, window
        self._nodes: list[Node] = []
        self._paid = 0.0
        self.preempted = 0
        self.lost: Callable[[list[Any]], None] = lambda pods: None
        """Called with the pods of a node that was taken back."""
        self.released: Callable[[], None] = lambda: None
        """Called when a node or part of one has become free."""
        self.settled = False
        """False while the simulation is put together: what is there at the start needs no time to come."""

    def fill_warm(self) -> None:
        """See that the warm nodes are there."""
        while len(self._nodes) < self.pool.warm:
            self._new()

    def place(self, pod: Any, slices: int, *, like: Callable[[Any], bool]) -> Node | None:
        """A node for the pod, perhaps one that is still coming; None where the pool is at its most.

        Cards in use come first, so that whole ones stay free; among them the node with the fewest pods that are `like`
        this one, as the chart's topologySpread asks; then the tightest.
        """
        best: tuple[tuple[bool, int, int, int], Node] | None = None
        for node in self._nodes:
            fit = node.best(slices)
            if fit is None:
                continue
            unused, left, card = fit
            key = (unused, sum(map(like, node.pods)), left, card)
            if best is None or key < best[0]:
                best = key, node
        if best is None:
            if len(self._nodes) >= self.pool.most:
                return None
            best = (True, 0, 0, 0), self._new()
        (*_, card), node = best
        node.free[card] -= slices
        node.pods[pod] = card
        return node

    def remove(self, pod: Any, node: Node, slices: int) -> None:
        """The pod is gone; its node may go after a while."""
        if node.gone:
            return
        node.free[node.pods.pop(pod)] += slices
        self.released()
        if not node.pods:
            node.emptied = self._env.now
            self._env.process(self._give_back(node))

    def card_hours(self) -> float:
        """Hours of cards paid for within the window, until now."""
        open_ones = sum(self._paid_for(node) for node in self._nodes)
        return (self._paid + open_ones) / 3600

    @property
    def cost(self) -> float:
        return self.card_hours() * self.pool.price_per_hour

    def _paid_for(self, node: Node) -> float:
        return self._window.share_of(node.begun, self._env.now) * self.pool.cards

    def _new(self) -> Node:
        wait = self.pool.provision_seconds if self.settled else 0.0
        node = Node(pool=self.pool, begun=self._env.now, ready=self._env.timeout(wait))
        self._nodes.append(node)
        if self.pool.preemptions_per_hour > 0:
            self._env.process(self._preempt(node))
        return node

    def _end(self, node: Node) -> None:
        node.gone = True
        self._paid += self._paid_for(node)
        self._nodes.remove(node)

    def _give_back(self, node: Node) -> Events:
        emptied = node.emptied
        yield self._env.timeout(self.pool.idle_seconds)
        idle = not node.gone and not node.pods and node.emptied == emptied
        if idle and len(self._nodes) > self.pool.warm:
            self._end(node)
            self.released()

    def _preempt(self, node: Node) -> Events:
        yield self._env.timeout(self._draws.exponential(3600 / self.pool.preemptions_per_hour))
        if node.gone:
            return
        pods = list(node.pods)
        self._end(node)
        self.preempted += 1
        self.fill_warm()
        self.lost(pods)
