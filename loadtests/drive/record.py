"""What became of one request, as the driver writes it down and the report reads it.

Must not know: how it was sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class StageRun:
    """One stage run of a job. seconds: that the stage took. cached: it was there already."""

    subject: str
    stage: str
    seconds: float
    cached: bool = False


@dataclass(frozen=True)
class Record:
    """One request. All times are seconds from the start of the run.

    Attributes:
        number, kind, objects, frames, tenant, line, preview: of its order.
        due: when it should have been sent. sent: when it was; the difference is the driver's own.
        outcome: "succeeded", "failed", "cancelled", "refused" (RESOURCE_EXHAUSTED), "error" (any other answer) or
            "lost" (accepted, and no end of it was heard).
        name: the job's. reason, message: of what went wrong. retry_after: seconds that a refusal asks to wait.
        calls: method -> seconds that the client waited for it.
        created, taken, ended: the job's own times. heard: when the client knew its end.
        cancel_asked: when it was asked to stop; 0: it was not.
        stages: its stage runs.
    """

    number: int
    kind: str
    objects: int
    frames: int
    tenant: str
    line: str
    due: float
    sent: float
    preview: bool = False
    outcome: str = "lost"
    name: str = ""
    reason: str = ""
    message: str = ""
    retry_after: float = 0.0
    calls: Mapping[str, float] = field(default_factory=dict)
    created: float = 0.0
    taken: float = 0.0
    ended: float = 0.0
    heard: float = 0.0
    cancel_asked: float = 0.0
    stages: Sequence[StageRun] = ()

    @property
    def latency(self) -> float:
        """Seconds from the moment the request was due until its end was known: the waiting that open loop is about."""
        return self.heard - self.due

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def write_record(path: Path, record: Record) -> None:
    """Append it."""
    with path.open("a") as file:
        file.write(json.dumps(record.to_json()) + "\n")


def read_records(path: Path) -> list[Record]:
    """All of a file, by number."""
    found = []
    for line in path.read_text().splitlines():
        data = json.loads(line)
        stages = tuple(StageRun(**one) for one in data.pop("stages"))
        found.append(Record(**data, stages=stages))
    return sorted(found, key=lambda record: record.number)
