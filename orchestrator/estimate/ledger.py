"""What stage runs have taken on this service, and where their results are: a table beside the jobs'.

A request's address depends on its stage's version and weights, which only the stage knows. What the newest run of a
kind had of both is what the next one will have; results of others count as not there.
Must not know: plans. Blocking: call it from a thread.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from orchestrator.schema import STAGE_RUNS, inserted_or_kept
from services.artifacts import Manifest, digest

_NEWEST = 25
_KEPT_SECONDS = 90 * 86400.0


def request_digest(stage: str, params: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """What tells two requests apart, as far as the control plane can see."""
    return digest({"stage": stage, "params": dict(params), "inputs": dict(inputs)})


@dataclass(frozen=True)
class Run:
    """A finished run: what it made, and how much work of which kind it was."""

    manifest: Manifest
    kind: str
    units: float


def _row(run: Run) -> dict[str, Any]:
    made = run.manifest.request
    return {
        "address": run.manifest.address,
        "request": request_digest(run.manifest.stage, made["params"], made["inputs"]),
        "kind": run.kind,
        "generation": digest({"version": made["version"], "weights": made["weights"]}),
        "seconds": run.manifest.seconds,
        "units": run.units,
        "made": time.time(),
    }


class Ledger:
    """The table, over an engine that somebody else opened."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def record(self, runs: Iterable[Run]) -> None:
        """Note finished runs. One that is noted already stays as it is."""
        rows = [_row(run) for run in runs]
        with self._engine.begin() as connection:
            for row in rows:
                connection.execute(inserted_or_kept(connection, STAGE_RUNS, row))

    def rate(self, kind: str) -> float | None:
        """Seconds per unit of the newest runs of the kind: their median. None if there are none."""
        runs = sa.select(STAGE_RUNS.c.seconds, STAGE_RUNS.c.units).where(STAGE_RUNS.c.kind == kind)
        with self._engine.connect() as connection:
            found = connection.execute(runs.order_by(STAGE_RUNS.c.made.desc()).limit(_NEWEST)).all()
        rates = [row.seconds / row.units for row in found if row.units > 0]
        return statistics.median(rates) if rates else None

    def address(self, request: str, *, kind: str) -> str | None:
        """Where the result of the request `request` would be if it was made; None if nobody has made it."""
        with self._engine.connect() as connection:
            newest = sa.select(STAGE_RUNS.c.generation).where(STAGE_RUNS.c.kind == kind)
            generation = connection.execute(newest.order_by(STAGE_RUNS.c.made.desc()).limit(1)).scalar_one_or_none()
            same = (STAGE_RUNS.c.request == request, STAGE_RUNS.c.generation == generation)
            return connection.execute(sa.select(STAGE_RUNS.c.address).where(*same).limit(1)).scalar_one_or_none()

    def forget_old(self) -> None:
        """Drop what says little about the present."""
        with self._engine.begin() as connection:
            connection.execute(STAGE_RUNS.delete().where(STAGE_RUNS.c.made < time.time() - _KEPT_SECONDS))
