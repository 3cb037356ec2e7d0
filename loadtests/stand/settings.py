"""What a stand of fakes consists of. Must not know: how it is started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.runners.triton import INSTANCES


@dataclass(frozen=True)
class StandSettings:
    """A control plane on fakes.

    Attributes:
        nodes: model servers; each has all models, and one GPU.
        replicas: orchestrators; more than one need PostgreSQL.
        database: "sqlite" or "postgresql". store: "folder" or "s3" (a server of that protocol on this machine).
        running_jobs, running_stages: of each orchestrator, see orchestrator/settings.py.
        pending: most jobs of a tenant that wait; more are refused.
        scale: stage times are those measured, times this.
        instances: stage -> instances on a node, where that is not what `model_repository` says.
        unavailable, bad: shares of the stage runs that fail once, and for good.
        collect_seconds: between two collections of the store; grace_seconds: what is younger stays.
        silent_seconds: after so long without a sign of life an orchestrator is taken for dead.
    """

    nodes: int = 2
    replicas: int = 1
    database: str = "sqlite"
    store: str = "folder"
    running_jobs: int = 16
    running_stages: int = 64
    pending: int = 10_000
    scale: float = 0.1
    instances: Mapping[str, int] = field(default_factory=dict)
    unavailable: float = 0.0
    bad: float = 0.0
    silent_seconds: float = 15.0
    collect_seconds: float = 3600.0
    grace_seconds: float = 86400.0

    def places(self) -> dict[str, int]:
        """Runs of each stage that fit at once."""
        return {stage: self.nodes * count for stage, count in {**INSTANCES, **self.instances}.items()}
