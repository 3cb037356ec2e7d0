"""Walks a job's plan without running it: what is there, what each of the rest would take, and the longest way through.

Must not know: gRPC, or how a plan is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from orchestrator.estimate import costs
from orchestrator.estimate.costs import Clip
from orchestrator.estimate.ledger import Ledger, Run, request_digest
from orchestrator.plan import Node, long_side_of, plan
from orchestrator.spec import JobSpec
from services.artifacts import Artifact, Manifest, Store


class Basis(StrEnum):
    """What a figure rests on. NOTHING: nothing is to be computed."""

    NOTHING = "nothing"
    MEASURED = "measured"
    ASSUMED = "assumed"


@dataclass(frozen=True)
class StageEstimate:
    """What one stage run would take; `seconds` hold a processor."""

    node: Node
    model: str
    cached: bool
    seconds: float
    basis: Basis


@dataclass(frozen=True)
class Estimate:
    """What a job would take.

    Attributes:
        stages: its runs, in the plan's order.
        seconds: that they hold processors, in all.
        critical: seconds of the longest way through the plan.
        ahead: jobs that would come before it.
    """

    stages: tuple[StageEstimate, ...]
    ahead: int = 0

    @property
    def seconds(self) -> float:
        return sum(stage.seconds for stage in self.stages)

    @property
    def critical(self) -> float:
        ends: dict[str, float] = {}
        for stage in self.stages:
            begun = max((ends[name] for name in stage.node.needs), default=0.0)
            ends[stage.node.id] = begun + stage.seconds
        return max(ends.values(), default=0.0)


class Estimator:
    """Estimates jobs from the ledger and the store. Blocking: call it from a thread."""

    def __init__(self, *, ledger: Ledger, store: Store) -> None:
        self._ledger = ledger
        self._store = store

    def estimate(self, spec: JobSpec, clip: Artifact) -> Estimate:
        """What the job would take; `clip`: its source as the stages see it."""
        size = clip_of(clip.manifest, spec)
        known: dict[str, str] = {}
        stages = []
        for node in plan(spec):
            address = clip.address if node.id == "ingest" else self.made(node, known)
            if address is not None:
                known[node.id] = address
            stages.append(self._stage(node, size, cached=address is not None))
        return Estimate(tuple(stages))

    def made(self, node: Node, known: Mapping[str, str] = MappingProxyType({})) -> str | None:
        """Where the node's result lies, if somebody has made it; `known`: the addresses of what it needs."""
        if not all(name in known for name in node.needs):
            return None
        request = node.request(known)
        address = self._ledger.address(
            request_digest(request.stage, request.params, request.inputs), kind=costs.kind(node)
        )
        return address if address is not None and self._store.find(address) is not None else None

    def _stage(self, node: Node, clip: Clip, *, cached: bool) -> StageEstimate:
        if cached:
            return StageEstimate(node, costs.model(node), True, 0.0, Basis.NOTHING)
        measured = self._ledger.rate(costs.kind(node))
        rate = costs.assumed(costs.kind(node)) if measured is None else measured
        basis = Basis.ASSUMED if measured is None else Basis.MEASURED
        return StageEstimate(node, costs.model(node), False, rate * costs.units(node, clip), basis)

    def record(self, spec: JobSpec, made: Mapping[str, str]) -> None:
        """Note what runs of the job have taken; `made`: node -> address of what it made, or found."""
        nodes = plan(spec)
        source = self._store.find(made[nodes[0].id]) if nodes[0].id in made else None
        if source is None:
            return
        size = clip_of(source.manifest, spec)
        found = [(node, self._store.find(made[node.id])) for node in nodes if node.id in made]
        self._ledger.record(
            Run(artifact.manifest, kind=costs.kind(node), units=costs.units(node, size))
            for node, artifact in found
            if artifact is not None
        )


def clip_of(manifest: Manifest, spec: JobSpec) -> Clip:
    """The size of what `ingest` has read for the job."""
    meta = manifest.meta
    frames, height, width = int(meta["frames"]), int(meta["height"]), int(meta["width"])
    return Clip(frames=frames, height=height, width=width, long_side=long_side_of(spec.options))
