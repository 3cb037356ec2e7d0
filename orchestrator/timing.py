"""When a job is done among others, and what may become of it: the part of a spec that changes no pixel.

Must not know: queues, or how a plan is run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from services.errors import BadOption
from services.fields import Fields

MAX_PRIORITY = 9
_LONGEST_SECONDS = 30 * 86400.0


class Line(StrEnum):
    """What a job queues in. Every INTERACTIVE job comes before every BATCH job."""

    INTERACTIVE = "interactive"
    BATCH = "batch"


@dataclass(frozen=True)
class Scheduling:
    """When a job is done.

    Attributes:
        line: what it queues in.
        priority: 0 to 9; higher comes first among the tenant's own jobs of the line.
        timeout: seconds after its creation at which it fails if it has not ended; 0 for none.
    """

    line: Line = Line.INTERACTIVE
    priority: int = 0
    timeout: float = 0.0


def parse_scheduling(data: object) -> Scheduling:
    """Raises BadOption, with the field."""
    known = Fields(data, "scheduling", "class", "priority", "timeout")
    timeout = known.get("timeout", 0.0)
    good = isinstance(timeout, int | float) and not isinstance(timeout, bool) and math.isfinite(timeout)
    if not good or not 0 <= timeout <= _LONGEST_SECONDS:
        raise BadOption(
            f"timeout is {timeout!r}; give seconds, at most {_LONGEST_SECONDS:.0f}, or 0 for none.",
            field="scheduling.timeout",
        )
    return Scheduling(
        line=Line(known.choice("class", Line.INTERACTIVE, list(Line))),
        priority=known.integer("priority", 0, 0, MAX_PRIORITY),
        timeout=float(timeout),
    )


def scheduling_to_dict(scheduling: Scheduling) -> dict[str, Any]:
    """What `parse_scheduling` reads."""
    return {"class": scheduling.line.value, "priority": scheduling.priority, "timeout": scheduling.timeout}
