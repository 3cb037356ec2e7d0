"""The Job controller and the garbage collector of kube-controller-manager, as far as Indexed Jobs go."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from orchestrator.runners.kubernetes.api import JOBS
from services.errors import OmnimatteError
from tests.cluster.hands import Hands

INDEX = "batch.kubernetes.io/job-completion-index"
_EVERY = 0.05


@contextlib.asynccontextmanager
async def controlling(hands: Hands) -> AsyncIterator[None]:
    task = asyncio.create_task(_loop(hands))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()):
            raise error


async def _loop(hands: Hands) -> None:
    counted: dict[str, set[str]] = {}
    while True:
        # An API server that is away comes back.
        with contextlib.suppress(OmnimatteError):
            jobs, pods = await hands.jobs(), await hands.pods()
            uids = {job["metadata"]["uid"] for job in jobs}
            for pod in pods:
                owners = [owner["uid"] for owner in pod["metadata"].get("ownerReferences", [])]
                if owners and not set(owners) & uids and "deletionTimestamp" not in pod["metadata"]:
                    await hands.remove_pod(pod["metadata"]["name"])
            for job in jobs:
                mine = [
                    pod
                    for pod in pods
                    if job["metadata"]["uid"] in [one["uid"] for one in pod["metadata"].get("ownerReferences", [])]
                ]
                await _reconcile(hands, job, mine, counted.setdefault(job["metadata"]["uid"], set()))
        await asyncio.sleep(_EVERY)


async def _reconcile(hands: Hands, job: dict[str, Any], pods: list[dict[str, Any]], counted: set[str]) -> None:
    spec, status, name = job["spec"], dict(job.get("status") or {}), job["metadata"]["name"]
    if any(one["type"] in ("Complete", "Failed") for one in status.get("conditions", [])):
        if time.time() - _seconds(status["endedForTest"]) > spec.get("ttlSecondsAfterFinished", 1e9):
            await hands.delete(name, uid=job["metadata"]["uid"])
        return
    if spec.get("suspend"):
        await _status(hands, job, {"conditions": [{"type": "Suspended", "status": "True"}]})
        return
    done, failed = _numbers(status.get("completedIndexes", "")), _numbers(status.get("failedIndexes", ""))
    failures: dict[str, int] = dict(status.get("failuresForTest", {}))
    for pod in pods:
        index, phase = int(pod["metadata"]["annotations"][INDEX]), pod["status"].get("phase")
        if phase not in ("Succeeded", "Failed") or pod["metadata"]["uid"] in counted:
            continue
        counted.add(pod["metadata"]["uid"])
        if phase == "Succeeded":
            done.add(index)
            continue
        action = _action(spec, pod)
        if action == "FailIndex":
            failed.add(index)
        elif action == "Count":
            failures[str(index)] = failures.get(str(index), 0) + 1
            if failures[str(index)] > spec["backoffLimitPerIndex"]:
                failed.add(index)
    started = status.get("startTime") or _now()
    conditions: list[dict[str, Any]] = []
    if time.time() - _seconds(started) > spec.get("activeDeadlineSeconds", 1e9):
        conditions = [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]
        for pod in pods:
            await hands.remove_pod(pod["metadata"]["name"])
    elif len(done) + len(failed) == spec["completions"]:
        kind = {"type": "Failed", "reason": "FailedIndexes"} if failed else {"type": "Complete"}
        conditions = [{**kind, "status": "True"}]
    active = {
        int(pod["metadata"]["annotations"][INDEX])
        for pod in pods
        if pod["status"].get("phase") not in ("Succeeded", "Failed")
    }
    await _status(
        hands,
        job,
        {
            "startTime": started,
            "conditions": conditions or None,
            "completedIndexes": _ranges(done),
            "failedIndexes": _ranges(failed),
            "succeeded": len(done),
            "active": len(active),
            "failuresForTest": failures,
            **({"endedForTest": _now()} if conditions else {}),
        },
    )
    if conditions:
        return
    for index in range(spec["completions"]):
        if index not in done | failed | active:
            await hands.create_pod(_pod(job, index))


def _action(spec: dict[str, Any], pod: dict[str, Any]) -> str:
    for rule in spec.get("podFailurePolicy", {}).get("rules", []):
        for wanted in rule.get("onPodConditions", []):
            for has in pod["status"].get("conditions", []):
                if has["type"] == wanted["type"] and has["status"] == wanted.get("status", "True"):
                    return str(rule["action"])
        exits = rule.get("onExitCodes")
        for container in pod["status"].get("containerStatuses", []) if exits else []:
            code = container.get("state", {}).get("terminated", {}).get("exitCode")
            if container["name"] == exits["containerName"] and code in exits["values"]:
                return str(rule["action"])
    return "Count"


def _pod(job: dict[str, Any], index: int) -> dict[str, Any]:
    metadata, template = job["metadata"], job["spec"]["template"]
    labels = {"batch.kubernetes.io/job-name": metadata["name"], "job-name": metadata["name"], INDEX: str(index)}
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": metadata["uid"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{metadata['name']}-{index}-{uuid.uuid4().hex[:5]}",
            "labels": {**template["metadata"].get("labels", {}), **labels},
            "annotations": {INDEX: str(index)},
            "ownerReferences": [{**owner, "controller": True}],
        },
        "spec": template["spec"],
    }


async def _status(hands: Hands, job: dict[str, Any], status: dict[str, Any]) -> None:
    now = job.get("status") or {}
    if any(now.get(name) != value for name, value in status.items()):
        await hands.patch_status(JOBS, job["metadata"]["name"], status)


def _numbers(text: str) -> set[int]:
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def _ranges(numbers: set[int]) -> str:
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(f"{a}-{b}" if b > a + 1 else f"{a},{b}" if b > a else str(a) for a, b in parts)


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
