"""How autoscalers decide: Kubernetes' HPA and KEDA's part around zero, as pure functions of numbers and a memory.

The numbers come from the chart (`chart.py`). The algorithm is that of kubernetes/pkg/controller/podautoscaler
(replica_calculator.go for the wish, horizontal.go for behaviour): the wish is the largest over all metrics; then the
stabilisation windows, then the rates, then the bounds.
Must not know: pods, clocks, or SimPy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

SYNC_SECONDS = 15.0
"""Between two decisions of the HPA (--horizontal-pod-autoscaler-sync-period)."""

TOLERANCE = 0.1
"""Relative difference from the target that the HPA leaves alone (--horizontal-pod-autoscaler-tolerance)."""


@dataclass(frozen=True)
class Rules:
    """One group's autoscaling, as in the chart; times in seconds.

    Attributes:
        least, most: bounds of the number of pods; `least` 0 only with `keda`.
        pending_per_pod: runs, waiting and in flight, for which one pod is wanted.
        oldest_wait: age of the longest waiting run above which pods are added.
        up_pods, up_period: pods added at most in a period. up_window: how long that wish must last.
        down_pods, down_period, down_window: the same for pods taken away.
        keda: whether KEDA asks (one trigger over all of the group's stages) or a plain HPA (two metrics for each).
        polling: KEDA's between two looks at a group without pods. cooldown: without work, before its last pod goes.
    """

    least: int
    most: int
    pending_per_pod: float
    oldest_wait: float
    up_pods: int
    up_period: float
    down_pods: int
    down_period: float
    down_window: float
    up_window: float = 0.0
    keda: bool = True
    polling: float = 15.0
    cooldown: float = 600.0
    tolerance: float = TOLERANCE


@dataclass(frozen=True)
class Load:
    """What an autoscaler reads. pending: runs waiting and in flight. oldest: seconds that one has waited at most."""

    pending: float
    oldest: float

    @property
    def active(self) -> bool:
        return self.pending > 0 or self.oldest > 0


@dataclass(frozen=True)
class Memory:
    """What a decision needs to know of earlier ones: (time, number) each, in seconds and pods.

    Attributes:
        wishes: what was wanted. ups, downs: pods added and taken away.
        active: when there was work for the last time. polled: when KEDA last looked at a group without pods.
    """

    wishes: tuple[tuple[float, int], ...] = ()
    ups: tuple[tuple[float, int], ...] = ()
    downs: tuple[tuple[float, int], ...] = ()
    active: float = 0.0
    polled: float = -math.inf


def average_value(*, pods: int, metric: float, target: float, tolerance: float = TOLERANCE) -> int:
    """Pods wanted by a metric of type AverageValue: as many as bring the metric per pod to `target`."""
    if pods > 0 and abs(metric / (target * pods) - 1) <= tolerance:
        return pods
    return math.ceil(metric / target)


def value(*, pods: int, ready: int, metric: float, target: float, tolerance: float = TOLERANCE) -> int:
    """Pods wanted by a metric of type Value: the ready ones, times how far the metric is above `target`."""
    ratio = metric / target
    if pods == 0:
        return math.ceil(ratio)
    return pods if abs(ratio - 1) <= tolerance else math.ceil(ready * ratio)


def desired(*, pods: int, ready: int, loads: Sequence[Load], rules: Rules) -> int:
    """What the metrics ask for, within the bounds: the largest wish over `loads`, one for each pair of metrics.

    Args:
        pods: the Deployment's size now. ready: those of them that serve.
    """
    wishes = [rules.least]
    for load in loads:
        wishes.append(
            average_value(pods=pods, metric=load.pending, target=rules.pending_per_pod, tolerance=rules.tolerance)
        )
        wishes.append(
            value(pods=pods, ready=ready, metric=load.oldest, target=rules.oldest_wait, tolerance=rules.tolerance)
        )
    return max(rules.least, min(rules.most, max(wishes)))


def decide(
    *, now: float, pods: int, ready: int, loads: Sequence[Load], rules: Rules, memory: Memory
) -> tuple[int, Memory]:
    """The Deployment's new size, and what to remember. To be called every SYNC_SECONDS."""
    active = any(load.active for load in loads)
    memory = replace(memory, active=now if active else memory.active)
    if rules.keda and pods == 0:
        # The HPA does nothing at 0; KEDA wakes the Deployment when it looks.
        if now - memory.polled < rules.polling:
            return 0, memory
        size = min(rules.most, max(1, rules.least) if active else rules.least)
        came = ((now, size),) if size else ()
        return size, replace(memory, wishes=came, ups=came, polled=now)
    if rules.keda and rules.least == 0 and not active and now - memory.active >= rules.cooldown:
        return 0, replace(memory, wishes=(), polled=now)
    # Below KEDA's zero there is an HPA with at least one pod.
    wish = max(1, desired(pods=pods, ready=ready, loads=loads, rules=rules))
    longest = max(rules.up_window, rules.down_window)
    wishes = (*((at, n) for at, n in memory.wishes if now - at < longest), (now, wish))
    size = _limited(now, pods, _stable(now, pods, wishes, rules), rules, memory)
    horizon = max(rules.up_period, rules.down_period)
    ups = tuple((at, n) for at, n in memory.ups if now - at < horizon)
    downs = tuple((at, n) for at, n in memory.downs if now - at < horizon)
    if size > pods:
        ups = (*ups, (now, size - pods))
    elif size < pods:
        downs = (*downs, (now, pods - size))
    return size, replace(memory, wishes=wishes, ups=ups, downs=downs)


def _stable(now: float, pods: int, wishes: Sequence[tuple[float, int]], rules: Rules) -> int:
    """The wish after the stabilisation windows: the least of the one for more, the most of the one for fewer."""
    latest = wishes[-1][1]
    more = min([n for at, n in wishes if now - at < rules.up_window] or [latest])
    fewer = max([n for at, n in wishes if now - at < rules.down_window] or [latest])
    return min(max(pods, more), fewer)


def _limited(now: float, pods: int, wish: int, rules: Rules, memory: Memory) -> int:
    """The wish as far as the rates and bounds let it come true now."""
    if wish > pods:
        begun = pods - _within(memory.ups, now, rules.up_period) + _within(memory.downs, now, rules.up_period)
        return max(pods, min(wish, begun + rules.up_pods, rules.most))
    if wish < pods:
        begun = pods + _within(memory.downs, now, rules.down_period) - _within(memory.ups, now, rules.down_period)
        return min(pods, max(wish, begun - rules.down_pods, rules.least))
    return pods


def _within(events: Sequence[tuple[float, int]], now: float, period: float) -> int:
    return sum(n for at, n in events if now - at < period)
