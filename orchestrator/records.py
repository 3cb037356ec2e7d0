"""Jobs and what happens to them, as they are recorded: plain values.

Must not know: databases.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from orchestrator.spec import JobSpec
from services.errors import OmnimatteError


class JobState(StrEnum):
    """Where a job is in its life. A job that CANCELLING marks ends as CANCELLED, also across a restart."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True)
class Failure:
    """An object of a job that has no layer, and why."""

    label: str
    error: OmnimatteError


@dataclass(frozen=True)
class Job:
    """A job as it is recorded. Times are seconds since the epoch, 0 while they have not come.

    Attributes:
        tenant: who may see it.
        error: `services.errors.encode` text of a FAILED job.
        result: address of the deliverables of a SUCCEEDED job.
        sequence: number of its newest event.
        executor: the replica that runs it, or ran it last. attempt: how many times one has begun to.
        failures: the objects that a job with `allow_partial` succeeded without.
        trace: the `traceparent` of the call that created it; "" for none.
    """

    id: str
    tenant: str
    spec: JobSpec
    spec_digest: str
    state: JobState
    created: float
    started: float = 0.0
    ended: float = 0.0
    error: str = ""
    result: str = ""
    sequence: int = 0
    executor: str = ""
    attempt: int = 0
    failures: tuple[Failure, ...] = ()
    trace: str = ""

    @property
    def deadline(self) -> float:
        """When it fails if it has not ended; 0 for never."""
        timeout = self.spec.scheduling.timeout
        return self.created + timeout if timeout else 0.0


@dataclass(frozen=True)
class Event:
    """Something that happened to a job: {"job": changed fields} or {"node": a NodeEvent}."""

    sequence: int
    time: float
    body: Mapping[str, Any]


@dataclass(frozen=True)
class NewEvent:
    """An event to be recorded. It takes the place of the job's earlier events with the same non-empty `replaces`."""

    body: Mapping[str, Any]
    replaces: str = ""
    time: float = field(default_factory=time.time)


@dataclass(frozen=True)
class Addition:
    """What happened to a job while attempt `attempt` of it ran; None: whatever runs of it."""

    job: str
    attempt: int | None
    events: Sequence[NewEvent]
