"""Why a shard waits, or failed: a sentence from what the cluster says."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.runners.kubernetes.reasons import ended, failed, failure, indexes, waiting
from services.errors import DeadlineExceeded, Internal, OutOfSpace, Unavailable


def job(*conditions: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "omnimatte-1"},
        "spec": {},
        "status": {"conditions": [{"status": "True", **one} for one in conditions], **status},
    }


def pod(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "omnimatte-1-0-abcde"}, "status": status}


def held(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    return pod(
        phase="Pending", containerStatuses=[{"state": {"waiting": {"reason": reason, "message": message}}, **more}]
    )


UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes"}
EVENT = {"type": "Warning", "reason": "FailedCreate", "message": "exceeded quota"}


@pytest.mark.parametrize(
    ("of", "pods", "events", "says"),
    [
        (job(), [], [], ""),
        (job(), [pod(phase="Running")], [EVENT], ""),
        (job({"type": "Suspended"}), [], [], "waits in the cluster's queue"),
        (job(), [pod(phase="Pending", conditions=[UNSCHEDULABLE])], [], "no node has room for a worker: 0/2 nodes"),
        (job(), [held("ContainerCreating")], [], ""),
        (job(), [held("ErrImagePull", "denied", image="x:1")], [], "the worker cannot start: ErrImagePull x:1: denied"),
        (
            job(),
            [held("CreateContainerConfigError", 'secret "s3" not found')],
            [],
            'the worker cannot start: CreateContainerConfigError: secret "s3" not found',
        ),
        (job(), [], [EVENT], "the cluster makes no worker: exceeded quota"),
        (job(), [], [{**EVENT, "type": "Normal"}], ""),
        # The newest pod tells, not the one that failed before.
        (job(), [held("ErrImagePull"), pod(phase="Running")], [], ""),
    ],
)
def test_why_it_waits(of: Any, pods: Any, events: Any, says: str) -> None:
    assert waiting(of, pods, events) == says


def test_long_words_are_cut() -> None:
    assert len(waiting(job(), [held("ErrImagePull", "x" * 5000)], [])) <= 300


def done(code: int = 1, reason: str = "Error") -> dict[str, Any]:
    return pod(phase="Failed", containerStatuses=[{"state": {"terminated": {"exitCode": code, "reason": reason}}}])


@pytest.mark.parametrize(
    ("of", "pods", "kind", "says"),
    [
        (job({"type": "Failed", "reason": "DeadlineExceeded"}), [], DeadlineExceeded, "given up at its deadline"),
        (job(failedIndexes="0"), [done(137, "OOMKilled")], OutOfSpace, "killed for lack of memory"),
        (job(failedIndexes="0"), [done(139)], Internal, "ended with status 139 each time; see the log of pod"),
        (job({"type": "Failed", "message": "node lost"}), [pod()], Unavailable, r"has failed \(node lost\)"),
        (job({"type": "Failed"}), [], Unavailable, "for no stated reason"),
    ],
)
def test_why_it_failed(of: Any, pods: Any, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        raise failure(of, pods, subject="omnimatte/vase")


@pytest.mark.parametrize(
    ("text", "found"), [("", set()), ("3", {3}), ("0,2-4", {0, 2, 3, 4}), ("1,3-5,9", {1, 3, 4, 5, 9})]
)
def test_indexes_as_a_job_writes_them(text: str, found: set[int]) -> None:
    assert indexes(text) == found


def test_an_index_fails_alone_or_with_its_job() -> None:
    assert failed(job(failedIndexes="1"), 1) and not failed(job(failedIndexes="1"), 0)
    assert failed(job({"type": "Failed"}), 0)
    assert ended(job({"type": "Complete"})) and not ended(job({"type": "SuccessCriteriaMet"}))
