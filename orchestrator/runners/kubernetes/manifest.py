"""A run of shards as an Indexed Job: pure functions.

The Job's name is made of what its shards ask for, so whoever wants the same run finds the same Job.
Must not know: the API server.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from orchestrator.runners.kubernetes.settings import Shards
from services.artifacts import digest
from services.errors import BadOption
from services.shards import Shard, key_of
from services.worker_status import FOR_GOOD

GROUP = "omnimatte.dev"
KIND, RUN, JOB, TENANT = f"{GROUP}/kind", f"{GROUP}/run", f"{GROUP}/job", f"{GROUP}/tenant-digest"
SHARDS, BATCH = "shards", "batch"
INDEX = "batch.kubernetes.io/job-completion-index"
JOB_NAME = "batch.kubernetes.io/job-name"
WORKER = "worker"

_KUEUE = "kueue.x-k8s.io/queue-name"


def read_template(path: Path) -> dict[str, Any]:
    """The workers' pod template. Raises BadOption if it is none."""
    try:
        data = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise BadOption(f"the workers' pod template {path} cannot be read ({error}); see shards.template.") from error
    containers = data.get("spec", {}).get("containers", []) if isinstance(data, dict) else []
    if not any(isinstance(one, dict) and one.get("name") == WORKER for one in containers):
        raise BadOption(f"the pod template {path} has no container called {WORKER!r}; see shards.template.")
    return dict(data)


def name_of(shards: Sequence[Shard]) -> str:
    """The same for the same shards in the same order."""
    keys = [[key_of(step.request) for step in one.steps] for one in shards]
    return f"omnimatte-{digest(keys)[:32]}"


def labels_of(kind: str, run: str, context: Mapping[str, str]) -> dict[str, str]:
    """What Jobs and pods are found by. A tenant's name may hold what a label must not; it is nobody else's business."""
    return {
        "app.kubernetes.io/part-of": "omnimatte",
        "app.kubernetes.io/component": WORKER,
        KIND: kind,
        RUN: run,
        JOB: context.get("job", ""),
        TENANT: digest(context.get("tenant", ""))[:8],
    }


def manifest(
    shards: Sequence[Shard],
    *,
    settings: Shards,
    template: Mapping[str, Any],
    labels: Mapping[str, str],
    owner: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The Job that works through `shards`, one index each.

    Args:
        template: the PodTemplateSpec of the workers.
        labels: see `labels_of`.
        owner: ownerReference; what is deleted takes its Jobs along. None: nobody.
    """
    metadata: dict[str, Any] = {"name": name_of(shards), "namespace": settings.namespace, "labels": dict(labels)}
    if owner is not None:
        metadata["ownerReferences"] = [dict(owner)]
    if settings.queue:
        metadata["labels"][_KUEUE] = settings.queue
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "completionMode": "Indexed",
            "completions": len(shards),
            "parallelism": len(shards),
            # Each index for itself: one object's shard that fails for good leaves the others running.
            "backoffLimitPerIndex": settings.retries,
            "maxFailedIndexes": len(shards),
            # A pod that is being replaced has let go of its checkpoint before the next one takes it up.
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [
                    # Preempted, evicted, its node lost: nobody's fault, and not counted.
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    {
                        "action": "FailIndex",
                        "onExitCodes": {"containerName": WORKER, "operator": "In", "values": [FOR_GOOD]},
                    },
                ]
            },
            "activeDeadlineSeconds": settings.deadline_seconds,
            "ttlSecondsAfterFinished": settings.ttl_seconds,
            # Kueue lets it go when there is room.
            "suspend": bool(settings.queue),
            "template": _pod(template, settings, labels),
        },
    }


def _pod(template: Mapping[str, Any], settings: Shards, labels: Mapping[str, str]) -> dict[str, Any]:
    pod: dict[str, Any] = copy.deepcopy(dict(template))
    metadata = pod.setdefault("metadata", {})
    metadata["labels"] = {**metadata.get("labels", {}), **labels}
    pod["spec"]["restartPolicy"] = "Never"
    if settings.priority_class:
        pod["spec"]["priorityClassName"] = settings.priority_class
    for container in pod["spec"]["containers"]:
        if container["name"] == WORKER:
            container.setdefault("env", []).append({"name": "OMNIMATTE_RUN", "value": labels[RUN]})
    return pod
