"""Why a shard does not run, or why it failed, in a sentence for whoever waits for it: pure functions.

Must not know: how Jobs and pods were heard of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orchestrator.runners.kubernetes.api import Object
from services.errors import DeadlineExceeded, Internal, OmnimatteError, OutOfSpace, Unavailable

_MAX_TEXT = 300


def conditions(item: Object) -> dict[str, Mapping[str, Any]]:
    """An object's conditions that hold, by type."""
    found = item.get("status", {}).get("conditions") or []
    return {str(one["type"]): one for one in found if one.get("status") == "True"}


def indexes(text: str) -> set[int]:
    """The numbers of a Job's "1,3-5"."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def failed(job: Object, index: int) -> bool:
    """Whether the Job has given the index up."""
    status = job.get("status", {})
    return index in indexes(str(status.get("failedIndexes") or "")) or "Failed" in conditions(job)


def ended(job: Object) -> bool:
    """Whether the Job as a whole has ended, in whichever way."""
    return bool({"Complete", "Failed"} & set(conditions(job)))


def waiting(job: Object, pods: Sequence[Object], events: Iterable[Object]) -> str:
    """Why no worker runs yet; "" if nothing keeps it."""
    if "Suspended" in conditions(job) or job.get("spec", {}).get("suspend"):
        return "waits in the cluster's queue"
    for pod in reversed(pods):
        said = _pod_waits(pod)
        if said:
            return said
        if pod.get("status", {}).get("phase") in ("Running", "Pending"):
            return ""
    for event in events:
        if event.get("type") == "Warning" and event.get("reason") in ("FailedCreate", "FailedMount"):
            return _cut(f"the cluster makes no worker: {event.get('message', '')}")
    return ""


def _pod_waits(pod: Object) -> str:
    status = pod.get("status", {})
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return _cut(f"no node has room for a worker: {condition.get('message', '')}")
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        state = container.get("state", {}).get("waiting") or {}
        reason = str(state.get("reason", ""))
        if reason and reason not in ("ContainerCreating", "PodInitializing"):
            image = f" {container['image']}" if "mage" in reason and container.get("image") else ""
            return _cut(f"the worker cannot start: {reason}{image}: {state.get('message', '')}")
    return ""


def failure(job: Object, pods: Sequence[Object], *, subject: str) -> OmnimatteError:
    """What became of a shard that the Job has given up and whose worker has left no word."""
    name = job["metadata"]["name"]
    ended = conditions(job).get("Failed", {})
    if ended.get("reason") == "DeadlineExceeded":
        return DeadlineExceeded(
            f"{subject}: its worker Job {name} was given up at its deadline; ask for less work, or raise "
            "shards.deadline_seconds."
        )
    for pod in reversed(pods):
        status = pod.get("status", {})
        for container in status.get("containerStatuses") or []:
            done = container.get("state", {}).get("terminated") or {}
            if done.get("reason") == "OOMKilled":
                return OutOfSpace(
                    f"{subject}: its worker was killed for lack of memory; give workers more, or take a smaller clip."
                )
            if done.get("exitCode"):
                return Internal(
                    f"{subject}: its worker ended with status {done['exitCode']} each time; see the log of pod "
                    f"{pod['metadata']['name']}."
                )
    said = ended.get("message", "")
    return Unavailable(
        f"{subject}: its worker Job {name} has failed ({said or 'for no stated reason'}); it is made again."
    )


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 1]}…"
