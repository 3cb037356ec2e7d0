"""The rules and dashboards as tests see them: expressions, and the names in them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "helm" / "omnimatte"
RULES = CHART / "files" / "rules"
DASHBOARDS = CHART / "files" / "dashboards"
RUNBOOKS = ROOT / "docs" / "runbooks"

_WORDS = {"and", "or", "unless", "by", "on", "ignoring", "without", "group_left", "group_right", "offset", "bool"}
_LABELS = re.compile(r"\b(?:by|on|ignoring|without|group_left|group_right)\s*\([^)]*\)")


def rules() -> list[dict[str, Any]]:
    """All rules of the chart, alerts and recordings."""
    groups = [group for path in sorted(RULES.glob("*.yaml")) for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def recorded() -> set[str]:
    """Names of the series that the rules make."""
    return {rule["record"] for rule in rules() if "record" in rule}


def dashboards() -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}


@dataclass(frozen=True)
class Asked:
    """One query of a panel."""

    dashboard: str
    panel: str
    expr: str

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.panel}: {self.expr}"


def asked(variables: Mapping[str, str]) -> list[Asked]:
    """Every query of every dashboard, with these values of its variables."""
    found = []
    for name, dashboard in dashboards().items():
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                expr = re.sub(r"\$([a-z_]\w*)", lambda match: variables[match[1]], target["expr"])
                found.append(Asked(name, panel["title"], expr))
    return found


def metrics(expr: str) -> set[str]:
    """Names of the series that an expression asks for."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", expr)
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]", "", bare)
    bare = _LABELS.sub("", bare)
    names = re.findall(r"\b[a-zA-Z_][\w:]*\b(?!\s*\()", bare)
    # Numbers with an exponent, durations after `offset`.
    return {name for name in names if name not in _WORDS and not re.fullmatch(r"e\d+|[smhdw]", name)}
