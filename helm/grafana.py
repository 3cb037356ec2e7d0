"""Grafana dashboards as plain data: panels, rows and variables, laid out from left to right and from top to bottom.

Written for Grafana 11, with what every installation has: core panels, a Prometheus that a variable chooses, no plugin.
Must not know: what is shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

SCHEMA_VERSION = 39
"""Of Grafana 11.0; later ones migrate it when they load it."""

WIDTH = 24
"""Columns of Grafana's grid."""

PROMETHEUS = {"type": "prometheus", "uid": "${datasource}"}

Json = dict[str, Any]


@dataclass(frozen=True)
class Query:
    """One PromQL expression, and how its series are called.

    Attributes:
        instant: only the newest value, for tables and totals over the whole time range.
        foreign: who exports the metrics, if it is neither the orchestrator nor Triton.
    """

    expr: str
    legend: str = ""
    instant: bool = False
    foreign: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        kind: Grafana's name of its type.
        asks: the question that it answers, its description.
        unit: Grafana's name of the unit. The unit is part of the data: seconds are given as seconds.
        options, defaults: more of Grafana's options of the panel, and of its fields.
    """

    title: str
    asks: str
    queries: Sequence[Query] = ()
    kind: str = "timeseries"
    unit: str = "short"
    width: int = 8
    height: int = 8
    options: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    overrides: Sequence[Json] = ()
    transformations: Sequence[Json] = ()


@dataclass(frozen=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Dashboard:
    """See Grafana's JSON model."""

    uid: str
    title: str
    asks: str
    variables: Sequence[Json]
    rows: Sequence[Row]
    links: Sequence[Json] = ()
    since: str = "now-6h"


def lines(title: str, asks: str, *queries: Query, unit: str = "short", stack: bool = False, **more: Any) -> Panel:
    """Figures over time. stack: on top of each other, for parts of a whole."""
    custom: Json = {"fillOpacity": 25 if stack else 8, "showPoints": "never", "lineWidth": 1}
    if stack:
        custom["stacking"] = {"mode": "normal", "group": "A"}
    defaults = {"custom": custom, "min": 0, **more.pop("defaults", {})}
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return Panel(title, asks, queries, unit=unit, options=options, defaults=defaults, **more)


def number(
    title: str,
    asks: str,
    query: Query,
    *,
    unit: str = "short",
    bad: float | None = None,
    low: bool = False,
    **more: Any,
) -> Panel:
    """One figure. bad: from where on it is red. low: it is red below that instead."""
    steps: list[Json] = [{"color": "green", "value": None}]
    if bad is not None:
        steps = [
            {"color": "red" if low else "green", "value": None},
            {"color": "green" if low else "red", "value": bad},
        ]
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value" if bad is not None else "none",
        "graphMode": "area",
        "textMode": "auto",
    }
    defaults = {"thresholds": {"mode": "absolute", "steps": steps}}
    return Panel(
        title, asks, [query], kind="stat", unit=unit, options=options, defaults=defaults, width=3, height=4, **more
    )


def bars(title: str, asks: str, *queries: Query, unit: str = "short", **more: Any) -> Panel:
    """Totals beside each other, the largest first."""
    options = {
        "displayMode": "basic",
        "orientation": "horizontal",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showUnfilled": True,
    }
    defaults = {"min": 0, "color": {"mode": "palette-classic"}}
    made = [replace(query, instant=True) for query in queries]
    return Panel(title, asks, made, kind="bargauge", unit=unit, options=options, defaults=defaults, **more)


def table(title: str, asks: str, columns: Mapping[str, tuple[Query, str]], *, by: str, **more: Any) -> Panel:
    """A row for each value of the label `by`. columns: heading -> its query, with that label alone, and its unit."""
    letters = {heading: _letter(i) for i, heading in enumerate(columns)}
    overrides = [
        {
            "matcher": {"id": "byName", "options": heading},
            "properties": [{"id": "unit", "value": unit}],
        }
        for heading, (_, unit) in columns.items()
    ]
    names = {f"Value #{letter}": heading for heading, letter in letters.items()}
    transformations: list[Json] = [
        {"id": "joinByField", "options": {"byField": by, "mode": "outer"}},
        {
            "id": "organize",
            "options": {
                "excludeByName": {"Time": True, **{f"Time {i + 1}": True for i in range(len(columns))}},
                "renameByName": names,
            },
        },
    ]
    queries = [replace(query, instant=True) for query, _ in columns.values()]
    return Panel(
        title,
        asks,
        queries,
        kind="table",
        options={"showHeader": True, "footer": {"show": True, "reducer": ["sum"], "countRows": False, "fields": ""}},
        overrides=overrides,
        transformations=transformations,
        **more,
    )


def text(title: str, content: str, **more: Any) -> Panel:
    """Markdown."""
    return Panel(title, "", kind="text", options={"mode": "markdown", "content": content}, **more)


def source(name: str = "datasource", kind: str = "prometheus", label: str = "Metrics") -> Json:
    """A variable: which of the data sources of a kind."""
    return {
        "name": name,
        "type": "datasource",
        "label": label,
        "query": kind,
        "refresh": 1,
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
        "current": {},
        "regex": "",
    }


def values(name: str, label: str, metric: str, *, of: str = "") -> Json:
    """A variable: values of a label (`of`, or `name`) of a metric, several or all of them."""
    query = f"label_values({metric}, {of or name})"
    return {
        "name": name,
        "type": "query",
        "label": label,
        "datasource": PROMETHEUS,
        "definition": query,
        "query": {"query": query, "refId": f"variable-{name}"},
        "refresh": 2,
        "sort": 1,
        "hide": 0,
        "includeAll": True,
        # Also what has no such label, as without Kubernetes.
        "allValue": ".*",
        "multi": True,
        "options": [],
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "regex": "",
    }


def choice(name: str, label: str, options: Sequence[str]) -> Json:
    """A variable: one of these, the first at the start."""
    made = [{"text": option, "value": option, "selected": option == options[0]} for option in options]
    return {
        "name": name,
        "type": "custom",
        "label": label,
        "query": ",".join(options),
        "options": made,
        "current": made[0],
        "includeAll": False,
        "multi": False,
        "hide": 0,
    }


def entry(name: str, label: str, value: str) -> Json:
    """A variable: what somebody types."""
    made = {"text": value, "value": value, "selected": True}
    return {
        "name": name,
        "type": "textbox",
        "label": label,
        "query": value,
        "options": [made],
        "current": made,
        "hide": 0,
    }


def link(title: str, url: str, *, tooltip: str = "") -> Json:
    """A link at the top of a dashboard."""
    return {
        "title": title,
        "type": "link",
        "url": url,
        "tooltip": tooltip,
        "icon": "external link",
        "targetBlank": True,
        "includeVars": False,
        "keepTime": False,
        "asDropdown": False,
        "tags": [],
    }


def siblings(tag: str) -> Json:
    """Links to all dashboards with a tag."""
    return {
        "title": "Omnimatte",
        "type": "dashboards",
        "tags": [tag],
        "asDropdown": True,
        "includeVars": False,
        "keepTime": True,
        "icon": "external link",
        "targetBlank": False,
        "tooltip": "",
        "url": "",
    }


def explore(datasource: str, query: Json) -> str:
    """Address of Grafana's Explore with a query. `${name}` in it stays a variable."""
    panes = {
        "one": {
            "datasource": datasource,
            "queries": [{"refId": "A", "datasource": {"uid": datasource}, **query}],
            "range": {"from": "now-24h", "to": "now"},
        }
    }
    written = quote(json.dumps(panes, separators=(",", ":")), safe="")
    return "/explore?schemaVersion=1&panes=" + re.sub(r"%24%7B(\w+)%7D", r"${\1}", written)


def as_json(dashboard: Dashboard, *, tag: str) -> Json:
    """What Grafana reads."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.asks,
        "tags": [tag],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "fiscalYearStartMonth": 0,
        "liveNow": False,
        "refresh": "30s",
        "time": {"from": dashboard.since, "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "weekStart": "",
        "annotations": {"list": []},
        "templating": {"list": list(dashboard.variables)},
        "links": [siblings(tag), *dashboard.links],
        "panels": list(_laid_out(dashboard.rows)),
    }


def _laid_out(rows: Sequence[Row]) -> list[Json]:
    made: list[Json] = []
    top = 0
    for row in rows:
        position = {"x": 0, "y": top, "w": WIDTH, "h": 1}
        made.append({"id": len(made) + 1, "type": "row", "title": row.title, "collapsed": False, "gridPos": position})
        made[-1]["panels"] = []
        top, left, tallest = top + 1, 0, 0
        for panel in row.panels:
            if left + panel.width > WIDTH:
                top, left, tallest = top + tallest, 0, 0
            made.append(_panel(panel, number=len(made) + 1, left=left, top=top))
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest
    return made


def _panel(panel: Panel, *, number: int, left: int, top: int) -> Json:
    position = {"x": left, "y": top, "w": panel.width, "h": panel.height}
    made: Json = {"id": number, "type": panel.kind, "title": panel.title, "gridPos": position}
    made["options"] = dict(panel.options)
    if panel.kind == "text":
        return made
    asks = panel.asks
    if foreign := sorted({query.foreign for query in panel.queries if query.foreign}):
        asks += f" Needs {' and '.join(foreign)}."
    made["description"] = asks
    made["datasource"] = PROMETHEUS
    made["fieldConfig"] = {"defaults": {"unit": panel.unit, **panel.defaults}, "overrides": list(panel.overrides)}
    made["targets"] = [_target(query, _letter(i), panel.kind) for i, query in enumerate(panel.queries)]
    if panel.transformations:
        made["transformations"] = list(panel.transformations)
    return made


def _target(query: Query, letter: str, kind: str) -> Json:
    return {
        "refId": letter,
        "datasource": PROMETHEUS,
        "editorMode": "code",
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "instant": query.instant,
        "range": not query.instant,
        "format": "table" if kind == "table" else "time_series",
    }


def _letter(index: int) -> str:
    return chr(ord("A") + index)
