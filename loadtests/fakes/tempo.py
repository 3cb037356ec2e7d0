"""How long a stage run takes, and whether it fails: drawn from measured distributions by the run's address, so that the
same run takes the same time again.

Must not know: who waits for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from services.errors import BadOption

MEASURED = Path(__file__).with_name("measured.json")
"""Stage times of the embedded stack, taken from its report (docs/load.md)."""

Tables = Mapping[str, Mapping[str, Sequence[float]]]
"""Kind of clip -> stage -> seconds at evenly spaced quantiles, from the least to the most."""


@dataclass(frozen=True)
class Faults:
    """Shares of the runs, 0 to 1.

    Attributes:
        unavailable: that fail once with what time heals. bad: that fail for good.
    """

    unavailable: float = 0.0
    bad: float = 0.0


@dataclass(frozen=True)
class Tempo:
    """Times and faults.

    Attributes:
        tables: see `Tables`. A kind that is not there takes the times of the first; a stage that is not there none.
        scale: every time is multiplied by it.
    """

    tables: Tables
    scale: float = 1.0
    faults: Faults = field(default_factory=Faults)

    def seconds(self, stage: str, kind: str, address: str) -> float:
        """Seconds that the run at `address` holds its model instance."""
        table = self.tables.get(kind) or next(iter(self.tables.values()), {})
        quantiles = table.get(stage, (0.0,))
        return self.scale * float(
            np.interp(_chance("time", address) * (len(quantiles) - 1), range(len(quantiles)), quantiles)
        )

    def fails(self, address: str) -> str:
        """ "", "unavailable" (the first time only) or "bad"."""
        chance = _chance("fault", address)
        if chance < self.faults.bad:
            return "bad"
        return "unavailable" if chance < self.faults.bad + self.faults.unavailable else ""

    def mean(self, stage: str, kind: str) -> float:
        """Mean seconds of a run."""
        table = self.tables.get(kind) or next(iter(self.tables.values()), {})
        quantiles = np.asarray(table.get(stage, (0.0,)), dtype=float)
        middle = quantiles if len(quantiles) == 1 else (quantiles[1:] + quantiles[:-1]) / 2
        return self.scale * float(middle.mean())


def read_tables(path: Path = MEASURED) -> Tables:
    """The distributions of a report. Raises BadOption."""
    try:
        found = json.loads(path.read_text())["distributions"]
        return {
            str(kind): {str(stage): [float(one) for one in quantiles] for stage, quantiles in stages.items()}
            for kind, stages in found.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadOption(f"{path} holds no distributions ({error}); give the report.json of a run.") from error


def _chance(what: str, address: str) -> float:
    """Even in [0, 1)."""
    return int(hashlib.sha256(f"{what} {address}".encode()).hexdigest()[:13], 16) / 16**13
