"""Fleets: how many pods of which group, fixed or scaled as the chart does.

Must not know: SimPy, or where service times come from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from loadtests.capacity.chart import SLICES
from loadtests.capacity.clips import Mix
from loadtests.capacity.cluster import Group
from loadtests.capacity.setups import GPU, World
from loadtests.capacity.simulate import Setup
from orchestrator.scheduling.policy import Policies


def offered(setup: Setup, mix: Mix, group: Group) -> float:
    """Seconds of the group's places that a clip takes in the mean."""
    total = sum(mix.kinds.values())
    return sum(
        share / total * step.units * (setup.times.of(kind, step.stage).mean + setup.times.dispatch.mean)
        for kind, share in mix.kinds.items()
        for step in setup.kinds[kind].steps
        if step.stage in group.stages
    )


def fixed(world: World, *, gpus: int, per_day: float) -> Setup:
    """Pods that nothing scales: `gpus` GPUs, divided among the groups so that all are equally busy.

    CPU groups get pods for half their peak's load: they are cheap, and the question is about GPUs.
    """
    setup = world.setup
    gpu_pools = {pool.name for pool in setup.pools if pool.gpu}
    loads = {group.name: offered(setup, world.mix, group) / max(group.places.values()) for group in setup.groups}
    pods = _shared([group for group in setup.groups if group.pool in gpu_pools], loads, gpus)
    rate = per_day / 86400 * world.mix.peak
    for group in setup.groups:
        if group.pool not in gpu_pools:
            pods[group.name] = max(2, math.ceil(2 * rate * loads[group.name]))
    groups = [replace(group, pods=pods[group.name], rules=None, worker=False) for group in setup.groups]
    return replace(setup, groups=groups, **_orchestrators(per_day, setup))


def scaled(world: World, *, most: Mapping[str, int] | None, per_day: float) -> Setup:
    """Pods that the chart's autoscalers scale. None: the chart to the letter; else `most` replaces maxReplicas where it
    names a group, and neither orchestrators nor a tenant's limit are what is scarce.
    """
    setup = world.setup
    groups = []
    for group in setup.groups:
        if group.rules is not None:
            limit = max(group.rules.least, (most or {}).get(group.name, group.rules.most))
            group = replace(group, rules=replace(group.rules, most=limit), pods=max(1, group.rules.least))
        groups.append(group)
    enough = {} if most is None else _orchestrators(per_day, setup)
    return replace(setup, groups=groups, **enough)


def gpus_of(setup: Setup) -> int:
    """GPUs that the pods of the setup take."""
    gpu_pools = {pool.name for pool in setup.pools if pool.gpu}
    sizes = [(group.slices, group.pods) for group in setup.groups if group.pool in gpu_pools]
    return _cards(sizes)


def one_group(setup: Setup, *, gpus: int) -> Setup:
    """A setup of values/one-gpu.yaml with `gpus` of its GPU pods, each with every GPU stage, one run at a time."""
    groups = [
        replace(group, pods=gpus, places=dict.fromkeys(group.stages, 1), together=1, rules=None)
        if group.pool == GPU
        else replace(group, pods=4, rules=None)
        for group in setup.groups
    ]
    return replace(setup, groups=groups)


def _cards(sizes: Sequence[tuple[int, int]]) -> int:
    """Cards for pods of (sevenths, number): slices share cards, whole ones do not."""
    whole = sum(number * (slices // SLICES) for slices, number in sizes if slices >= SLICES)
    return whole + math.ceil(sum(number * slices for slices, number in sizes if slices < SLICES) / SLICES)


def _shared(groups: Sequence[Group], loads: Mapping[str, float], gpus: int) -> dict[str, int]:
    """One pod for each group, and then always one more for the busiest that still fits."""
    pods = {group.name: 1 for group in groups}
    slices = {group.name: group.slices for group in groups}
    open_ones = {group.name for group in groups if loads[group.name] > 0}
    while open_ones:
        busiest = max(sorted(open_ones), key=lambda name: loads[name] / pods[name])
        pods[busiest] += 1
        if _cards([(slices[name], pods[name]) for name in pods]) > gpus:
            pods[busiest] -= 1
            open_ones.discard(busiest)
    return pods


def least_gpus(world: World) -> int:
    """GPUs with one pod for each group."""
    gpu_pools = {pool.name for pool in world.setup.pools if pool.gpu}
    return _cards([(group.slices, 1) for group in world.setup.groups if group.pool in gpu_pools])


def _orchestrators(per_day: float, setup: Setup) -> dict[str, Any]:
    """Orchestrators enough not to be what is scarce: one more for every 5000 clips a day; and no tenant's own limit."""
    default = replace(setup.policies.default, running=0)
    return {
        "orchestrators": max(setup.orchestrators, math.ceil(per_day / 5000) + 1),
        "policies": Policies(default, setup.policies.tenants),
    }
