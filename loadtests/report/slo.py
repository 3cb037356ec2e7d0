"""Whether a run was good enough: bounds from a TOML file, held against the figures of a report.

Must not know: where the figures come from.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.errors import BadOption

SLO = Path(__file__).parents[1] / "slo.toml"
_NAMES = {"error_budget", "at_most", "at_least"}


@dataclass(frozen=True)
class Verdict:
    """One bound. value: the figure; None if the report does not have it, which holds no bound."""

    name: str
    bound: str
    value: float | None
    good: bool

    @property
    def line(self) -> str:
        """For people."""
        value = "not measured" if self.value is None else f"{self.value:.4g}"
        return f"{'ok  ' if self.good else 'FAIL'} {self.name}: {value} ({self.bound})"


def read_bounds(scenario: str, path: Path = SLO) -> dict[str, Any]:
    """What must hold of a run of that scenario. Raises BadOption."""
    try:
        data = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BadOption(f"the bounds {path} cannot be read: {error}.") from error
    bounds = {**data.get("default", {}), **data.get(scenario, {})}
    if unknown := set(bounds) - _NAMES:
        raise BadOption(f"{path}: {sorted(unknown)[0]!r} is no bound; there are {', '.join(sorted(_NAMES))}.")
    for table in ("at_most", "at_least"):
        for name, value in bounds.get(table, {}).items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise BadOption(f"{path}: {table}.{name} is {value!r}; give a number.")
    return bounds


def verdicts(report: Mapping[str, Any], bounds: Mapping[str, Any]) -> list[Verdict]:
    """One for each bound."""
    found = []
    if "error_budget" in bounds:
        limit, spent = float(bounds["error_budget"]), failure_share(report)
        found.append(Verdict("error budget", f"at most {limit:g} of what was accepted", spent, spent <= limit))
    for name, limit in bounds.get("at_most", {}).items():
        value = figure(report, name)
        found.append(Verdict(name, f"at most {limit:g}", value, value is not None and value <= limit))
    for name, limit in bounds.get("at_least", {}).items():
        value = figure(report, name)
        found.append(Verdict(name, f"at least {limit:g}", value, value is not None and value >= limit))
    return found


def failure_share(report: Mapping[str, Any]) -> float:
    """Of the accepted requests, those that failed or were lost."""
    outcomes = report["outcomes"]
    bad = outcomes["failed"] + outcomes["error"] + outcomes["lost"]
    accepted = outcomes["requests"] - outcomes["refused"]
    return float(bad / accepted) if accepted else 0.0


def figure(report: Mapping[str, Any], path: str) -> float | None:
    """The number at `path`, names parted by dots; None if there is none."""
    found: Any = report
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None
