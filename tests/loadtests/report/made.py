"""Runs that never were, for tests of what is made of them."""

from __future__ import annotations

from typing import Any

from loadtests.drive.record import Record, StageRun
from loadtests.measure.samples import Process, Sample
from loadtests.measure.spans import Span
from loadtests.report.summary import Written

BEGAN = 1_700_000_000.0
AGE = 'omnimatte_queue_oldest_seconds{class="interactive",tenant="films"}'


def record(number: int, *, due: float, latency: float, outcome: str = "succeeded", **more: Any) -> Record:
    """A job that took `latency` seconds."""
    facts: dict[str, Any] = {
        "kind": "small",
        "objects": 2,
        "frames": 16,
        "tenant": "films",
        "line": "interactive",
        "sent": due,
        "name": "" if outcome == "refused" else f"jobs/{number}",
        "created": due,
        "taken": due + 0.1,
        "ended": due + latency,
        "heard": due + latency,
        "calls": {"Upload": 0.05, "CreateJob": 0.02},
        "stages": (StageRun("casper/background", "casper", latency / 2), StageRun("finish", "finish", latency / 4)),
    }
    return Record(number=number, due=due, outcome=outcome, **{**facts, **more})


def sample(at: float, *, age: float = 0.0, memory: float = 100e6, busy: float | None = None) -> Sample:
    return Sample(
        time=BEGAN + at,
        figures={AGE: age, "omnimatte_queue_length": age},
        processes={"load-0": Process(memory_bytes=int(memory), files=20, threads=10, cpu_seconds=at / 10)},
        store_bytes=1000,
        database_bytes=1000,
        gpu_busy_seconds=busy,
    )


def written(records: list[Record], samples: list[Sample], *, duration: float = 100.0, **more: Any) -> Written:
    facts: dict[str, Any] = {
        "scenario": {"name": "plain", "seed": 0, "kinds": {"small": {"objects": 2, "frames": 16}}},
        "target": "fakes",
        "capacity": {"running_jobs": 4, "running_stages": 8, "places": {"casper": 2, "finish": 2}, "gpus": 1},
        "machine": {"cores": 2},
    }
    return Written(began=BEGAN, duration=duration, records=records, samples=samples, **{**facts, **more})


class Trace:
    """Spans of one job, in seconds from the start of the run."""

    def __init__(self, job: str) -> None:
        self.job, self.spans, self._count = job, list[Span](), 0

    def add(self, name: str, start: float, end: float, *, parent: str = "", **attributes: Any) -> str:
        self._count += 1
        identity = f"{self.job}-{self._count}"
        self.spans.append(
            Span(
                trace=self.job,
                id=identity,
                parent=parent,
                name=name,
                service="",
                start=BEGAN + start,
                end=BEGAN + end,
                attributes={key.replace("_dot_", "."): value for key, value in attributes.items()},
            )
        )
        return identity

    def stage(self, stage: str, start: float, end: float, *, waited: float = 0.0, stored: float = 0.0) -> None:
        """A run that computes from 0.02 s after its start to 0.03 s before its end."""
        self.add(f"place {stage}", start - waited, start)
        asked = self.add(f"stage {stage}", start, end)
        served = self.add(stage, start + 0.01, end - 0.01, parent=asked)
        self.add("load", start + 0.01, start + 0.02, parent=served)
        store = {"omnimatte_dot_store_dot_write_seconds": stored}
        self.add("run", start + 0.02, end - 0.03, parent=served, **store)
