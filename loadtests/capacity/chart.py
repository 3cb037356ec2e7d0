"""What the chart says about model groups and orchestrators: values.yaml, and one of its overlays.

Must not know: how autoscalers decide, or SimPy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from loadtests.capacity.rules import Rules
from orchestrator.runners.triton import INSTANCES
from orchestrator.scheduling.policy import Policies, Policy

CHART = Path(__file__).resolve().parents[2] / "helm" / "omnimatte"
OVERLAY = "production"
SLICES = 7
"""Slices of one GPU: sizes of pods are counted in sevenths, because MIG's smallest slice is one."""


@dataclass(frozen=True)
class GroupValues:
    """One Deployment of model pods.

    Attributes:
        stages: that a pod serves. places: runs of each at once in one pod.
        slices: sevenths of a GPU that a pod has; 0: none.
        load_seconds: that loading its models takes at most.
        replicas: pods where nothing scales them. rules: what scales them, or None.
    """

    name: str
    stages: tuple[str, ...]
    places: Mapping[str, int]
    slices: int
    load_seconds: float
    replicas: int
    rules: Rules | None


@dataclass(frozen=True)
class Chart:
    """running_jobs, running_stages: of one orchestrator. shards: stages that workers run, each shard on a whole GPU."""

    groups: tuple[GroupValues, ...]
    orchestrators: int
    running_jobs: int
    running_stages: int
    policies: Policies
    shards: tuple[str, ...]


def read(overlay: str = OVERLAY, *, folder: Path = CHART) -> Chart:
    """The chart with values/`overlay`.yaml over its defaults; without it for ""."""
    values = yaml.safe_load((folder / "values.yaml").read_text())
    if overlay:
        values = merged(values, yaml.safe_load((folder / "values" / f"{overlay}.yaml").read_text()))
    groups = [
        _group(name, merged(values["modelDefaults"], own or {}))
        for name, own in values["models"].items()
        if merged(values["modelDefaults"], own or {})["enabled"]
    ]
    orchestrator, workers = values["orchestrator"], values["workers"]
    return Chart(
        groups=tuple(groups),
        orchestrators=int(orchestrator["replicas"]),
        running_jobs=int(orchestrator["settings"]["running_jobs"]),
        running_stages=int(orchestrator["settings"]["running_stages"]),
        policies=_policies(values["tenants"]),
        shards=tuple(workers["settings"]["stages"]) if workers["enabled"] else (),
    )


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` over `below`, tables into tables, as Helm does it."""
    out = dict(below)
    for key, item in above.items():
        both = isinstance(item, Mapping) and isinstance(out.get(key), Mapping)
        out[key] = merged(out[key], item) if both else item
    return out


def _group(name: str, values: Mapping[str, Any]) -> GroupValues:
    stages = tuple(values["stages"])
    gpu = values["gpu"]
    size = 1 if "/mig-" in gpu["resource"] else SLICES
    auto = values["autoscaling"]
    scaled = auto["keda"]["enabled"] or auto["hpa"]["enabled"]
    return GroupValues(
        name=name,
        stages=stages,
        places={stage: int(values["stageLimits"].get(stage, INSTANCES.get(stage, 1))) for stage in stages},
        slices=size * int(gpu["count"]),
        load_seconds=float(values["loadSeconds"]),
        replicas=int(values["replicas"]),
        rules=_rules(auto) if scaled else None,
    )


def _rules(auto: Mapping[str, Any]) -> Rules:
    up, down, keda = auto["scaleUp"], auto["scaleDown"], auto["keda"]
    return Rules(
        least=int(auto["minReplicas"]),
        most=int(auto["maxReplicas"]),
        pending_per_pod=float(auto["pendingPerReplica"]),
        oldest_wait=float(auto["oldestWaitSeconds"]),
        up_pods=int(up["pods"]),
        up_period=float(up["periodSeconds"]),
        down_pods=int(down["pods"]),
        down_period=float(down["periodSeconds"]),
        down_window=float(down["stabilizationSeconds"]),
        keda=bool(keda["enabled"]),
        polling=float(keda["pollingSeconds"]),
        cooldown=float(keda["cooldownSeconds"]),
    )


def _policies(values: Mapping[str, Any]) -> Policies:
    default = Policy(**values["default"])
    return Policies(default, {name: Policy(**own) for name, own in values["tenants"].items()})
