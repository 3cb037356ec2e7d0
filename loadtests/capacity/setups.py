"""Setups to simulate: the chart's groups with measured times, or with those of assumptions.toml.

Must not know: SimPy, or what question is asked.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from loadtests.capacity import chart
from loadtests.capacity.chart import SLICES, Chart
from loadtests.capacity.clips import Kind, Mix, steps
from loadtests.capacity.cluster import Group
from loadtests.capacity.nodes import NodePool
from loadtests.capacity.service_times import Measured, ServiceTimes, lognormal
from loadtests.capacity.simulate import Setup
from services.profiles import find

ASSUMPTIONS = Path(__file__).with_name("assumptions.toml")
GPU, CPU = "gpu", "cpu"


@dataclass(frozen=True)
class Choice:
    """What to assume.

    Attributes:
        profile, tier: models and Casper's quality. card: a name in the file's `cards`.
        sharding: whether a job's GPU runs may spread over several GPUs.
        spot: on spot nodes, at their price and with preemptions. warm: GPU nodes that are always there.
        overlay: of the chart's values/.
    """

    profile: str = "production"
    tier: str = "full"
    card: str = "h100"
    sharding: bool = True
    spot: bool = False
    warm: int = 0
    overlay: str = chart.OVERLAY


@dataclass(frozen=True)
class World:
    """A setup whose groups are the chart's, what arrives there, and where its times come from."""

    setup: Setup
    mix: Mix
    label: str


def load(path: Path = ASSUMPTIONS) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


def assumed(choice: Choice, data: Mapping[str, Any] | None = None) -> World:
    """The chart with the seconds, prices and clips of assumptions.toml."""
    data = data or load()
    of = chart.read(choice.overlay)
    groups = _groups(of, data)
    kinds = {
        name: Kind(
            name,
            steps(objects=kind["objects"], profile=choice.profile, apart=choice.sharding, per_run=True),
            objects=int(kind["objects"]),
        )
        for name, kind in data["kinds"].items()
    }
    setup = _setup(of, kinds, _assumed_times(choice, data, groups), _pools(choice, data), groups, data)
    mix = Mix({name: kind["share"] for name, kind in data["kinds"].items()}, **_numbers(data["mix"]))
    label = f"ASSUMED times (assumptions.toml): {choice.profile}, tier {choice.tier}, {choice.card}"
    return World(replace(setup, sharding=choice.sharding), mix, label)


def measured(report: Measured, choice: Choice, data: Mapping[str, Any] | None = None) -> World:
    """The chart with a report's times and clips; prices, nodes and runs at once in a pod are assumptions.toml's."""
    data = data or load()
    of = chart.read(choice.overlay)
    groups = _groups(of, data)
    setup = _setup(of, _measured_kinds(report), report.times, _pools(choice, data), groups, data)
    shares = {kind: float(sum(job.kind == kind for job in report.jobs)) or 1.0 for kind in report.kinds}
    mix = Mix(shares, **_numbers(data["mix"]))
    return World(replace(setup, sharding=choice.sharding), mix, "MEASURED times of the report, assumed prices")


def replayed(report: Measured) -> Setup:
    """The very places of a measured run: a pod for each stage, there from the start."""
    groups = [
        Group(name=stage, stages=(stage,), places={stage: number}, pool=CPU, pods=1, start_seconds=0.0)
        for stage, number in report.places.items()
    ]
    return Setup(
        kinds=_measured_kinds(report),
        times=report.times,
        pools=(NodePool(CPU, gpu=False),),
        groups=groups,
        running_jobs=report.running_jobs,
        running_stages=report.running_stages,
    )


def _setup(
    of: Chart,
    kinds: Mapping[str, Kind],
    times: ServiceTimes,
    pools: Sequence[NodePool],
    groups: Sequence[Group],
    data: Mapping[str, Any],
) -> Setup:
    return Setup(
        kinds=kinds,
        times=times,
        pools=pools,
        groups=groups,
        running_jobs=of.running_jobs,
        running_stages=of.running_stages,
        orchestrators=of.orchestrators,
        policies=of.policies,
        checkpoints=_numbers(data["checkpoints"]),
    )


def _numbers(table: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in table.items() if name != "source"}


def _groups(of: Chart, data: Mapping[str, Any]) -> list[Group]:
    """The chart's groups, and workers for the stages that it runs as Jobs."""
    nodes = data["nodes"]
    out = []
    for group in of.groups:
        # The first two answer clicks and edits, beside the queue; few jobs ask for the third.
        stages = tuple(stage for stage in group.stages if stage not in ("preview", "compose", "region"))
        if not stages:
            continue
        sharded = set(stages) <= set(of.shards)
        out.append(
            Group(
                name="workers" if sharded else group.name,
                stages=stages,
                places={stage: 1 if sharded else data["limits"].get(stage, group.places[stage]) for stage in stages},
                pool=GPU if group.slices else CPU,
                slices=SLICES if sharded or not group.slices else group.slices,
                start_seconds=nodes["worker_seconds"] if sharded else nodes["pod_seconds"] + group.load_seconds,
                pods=group.replicas,
                rules=None if sharded else group.rules,
                worker=sharded,
            )
        )
    return out


def _pools(choice: Choice, data: Mapping[str, Any]) -> tuple[NodePool, ...]:
    nodes, card = data["nodes"], data["cards"][choice.card]
    return (
        NodePool(
            GPU,
            cards=nodes["cards"],
            provision_seconds=nodes["provision_seconds"],
            price_per_hour=card["spot_per_hour" if choice.spot else "per_hour"],
            warm=choice.warm,
            preemptions_per_hour=nodes["preemptions_per_hour"] if choice.spot else 0.0,
            idle_seconds=nodes["idle_seconds"],
        ),
        NodePool(
            CPU,
            cards=nodes["cpu_pods"],
            gpu=False,
            provision_seconds=nodes["cpu_provision_seconds"],
            price_per_hour=nodes["cpu_pod_per_hour"],
            idle_seconds=nodes["idle_seconds"],
        ),
    )


def _assumed_times(choice: Choice, data: Mapping[str, Any], groups: Sequence[Group]) -> ServiceTimes:
    basis, spread = data["basis"], data["basis"]["spread"]
    stages = {}
    for name, kind in data["kinds"].items():
        longer = kind["frames"] / basis["frames"]
        stages[name] = {
            stage: lognormal(_seconds(stage, choice, data) * longer * _slower(group, choice, data), spread)
            for group in groups
            for stage in group.stages
        }
    hops = {name: lognormal(seconds, 2 * spread) for name, seconds in _numbers(data["overheads"]).items()}
    return ServiceTimes(stages=stages, **hops)


def _seconds(stage: str, choice: Choice, data: Mapping[str, Any]) -> float:
    table = data["stages"][stage]
    model = find(choice.profile).models.get(stage, "any")
    name = f"{model}:{choice.tier}" if stage == "casper" else model
    return float(table[name if name in table else "any"]["seconds"])


def _slower(group: Group, choice: Choice, data: Mapping[str, Any]) -> float:
    """How many times as long as on the basis' whole card the group's pods take."""
    if group.pool != GPU:
        return 1.0
    part = data["slice"]["factor"] if group.slices < SLICES else 1.0
    return float(data["cards"][choice.card]["factor"] * part)


def _measured_kinds(report: Measured) -> dict[str, Kind]:
    """Objects of a kind that nobody tracked came with their masks."""
    return {
        name: Kind(
            name,
            steps(
                objects=int(kind["objects"]),
                profile=str(kind.get("profile", "compact")),
                masks="sam2" not in report.times.stages.get(name, {"sam2": None}),
            ),
            objects=int(kind["objects"]),
        )
        for name, kind in report.kinds.items()
    }
