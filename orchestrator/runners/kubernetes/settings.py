"""What can be set about the worker Jobs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from services.errors import BadOption
from services.registry import STAGES


@dataclass(frozen=True)
class Shards:
    """How stage runs become Kubernetes Jobs."""

    namespace: str
    """Where the Jobs are made; the orchestrator's service account needs the chart's Role there."""

    template: Path
    """File with the workers' PodTemplateSpec, YAML, whose container `worker` runs `python -m services.worker`."""

    stages: tuple[str, ...] = ("omnimatte",)
    """Stages that run as Jobs; all others go to the model servers."""

    batch_jobs: bool = False
    """Whether a whole job of class `batch` runs in one worker of its own, all its stages one after the other."""

    retries: int = 3
    """How often a shard whose worker failed is tried again (backoffLimitPerIndex). Evictions do not count."""

    deadline_seconds: int = 6 * 3600
    """When a Job is given up (activeDeadlineSeconds), in seconds; time in Kueue's queue does not count."""

    ttl_seconds: int = 600
    """How long an ended Job stays, in seconds: for whoever looks, and for an orchestrator that comes back."""

    queue: str = ""
    """Kueue's LocalQueue that admits the Jobs; "": none."""

    priority_class: str = ""
    """PriorityClass of the pods; "": the template's."""

    gather_seconds: float = 1.0
    """How long the first shard of a job waits for its siblings, so that they share a Job, in seconds."""

    max_shards: int = 64
    """Most shards of one Job; more of them get a Job of their own."""

    poll_seconds: float = 1.0
    """How often the workers' events are read from the store, in seconds."""

    reconcile_seconds: float = 30.0
    """How often Jobs are looked for that nobody waits for, in seconds."""

    def __post_init__(self) -> None:
        unknown = [stage for stage in self.stages if stage not in STAGES]
        if unknown:
            raise BadOption(f"shards.stages names {unknown[0]!r}, which is no stage; they are {', '.join(STAGES)}.")
        for name, least in (("retries", 0), ("deadline_seconds", 60), ("ttl_seconds", 60), ("max_shards", 1)):
            if getattr(self, name) < least:
                raise BadOption(f"shards.{name} is {getattr(self, name)}; give {least} or more.")
        for name in ("poll_seconds", "reconcile_seconds"):
            if getattr(self, name) <= 0:
                raise BadOption(f"shards.{name} is {getattr(self, name)}; give more than 0 seconds.")
