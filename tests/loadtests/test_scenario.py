"""Scenarios: the shipped ones can be read, and what cannot be meant is refused with the place."""

from __future__ import annotations

from typing import Any

import pytest

from loadtests.chaos import blows_of
from loadtests.orders import dumped, loaded, orders_of
from loadtests.report.slo import read_bounds
from loadtests.scenario import SCENARIOS, read_scenario, scenario_of
from services.errors import BadOption

NAMES = sorted(path.stem for path in SCENARIOS.glob("*.toml"))
PLAIN: dict[str, Any] = {
    "name": "plain",
    "duration_seconds": 200,
    "arrivals": {"process": "poisson", "rate": 2.0},
    "kinds": {"short": {"weight": 3, "objects": 2, "frames": 24}, "long": {"weight": 1, "objects": 4, "frames": 96}},
    "tenants": {"films": {"weight": 2}, "games": {"weight": 1}},
    "share": {"interactive": 0.7, "preview": 0.1, "cancel": 0.2, "download": 0.5},
}


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_scenario_can_be_sent(name: str) -> None:
    scenario = read_scenario(name)
    orders = orders_of(scenario)
    assert scenario.name == name
    assert 0 < len(orders) <= scenario.requests
    assert loaded(dumped(orders)) == orders
    assert read_bounds(name)
    blows_of(scenario.chaos)


def test_orders_repeat_and_follow_the_shares() -> None:
    scenario = scenario_of(PLAIN)
    orders = orders_of(scenario)
    assert orders == orders_of(scenario)
    assert orders != orders_of(scenario_of({**PLAIN, "seed": 1}))
    count = len(orders)
    assert count > 300
    assert abs(sum(one.line == "interactive" for one in orders) / count - 0.7) < 0.1
    assert abs(sum(one.tenant == "films" for one in orders) / count - 2 / 3) < 0.1
    assert abs(sum(one.kind == "short" for one in orders) / count - 0.75) < 0.1
    assert abs(sum(one.cancel_after > 0 for one in orders) / count - 0.2) < 0.1


def test_a_share_that_changes_leaves_the_other_orders_as_they_were() -> None:
    before = orders_of(scenario_of(PLAIN))
    after = orders_of(scenario_of({**PLAIN, "share": {**PLAIN["share"], "cancel": 0.0}}))
    assert [(one.at, one.kind, one.tenant, one.preview) for one in before] == [
        (one.at, one.kind, one.tenant, one.preview) for one in after
    ]


def test_no_more_is_sent_than_is_allowed() -> None:
    assert len(orders_of(scenario_of({**PLAIN, "limits": {"requests": 7}}))) == 7


@pytest.mark.parametrize(
    "change, words",
    [
        ({"name": ""}, "no name"),
        ({"duration_seconds": 0}, "duration_seconds"),
        ({"duration_seconds": "long"}, "duration_seconds"),
        ({"duration_seconds": 1e9}, "duration_seconds"),
        ({"kinds": {}}, "no kind of clip"),
        ({"kinds": {"short": {"objects": 0}}}, "kinds.short"),
        ({"kinds": {"short": {"colour": 1}}}, "kinds.short"),
        ({"arrivals": {"process": "sometimes"}}, "poisson"),
        ({"arrivals": {"process": "poisson"}}, "incomplete"),
        ({"arrivals": {"process": "poisson", "rate": -1}}, "arrivals.rate"),
        ({"share": {"cancel": 1.5}}, "share.cancel"),
        ({"share": []}, "share must be a table"),
        ({"limits": {"requests": 0}}, "limits.requests"),
        ({"limits": {"money": 3}}, "limits.money"),
        ({"colour": "blue"}, "colour"),
        ({"stand": {"nodes": "two"}}, "stand.nodes"),
    ],
)
def test_what_cannot_be_meant_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(BadOption, match=words):
        scenario_of({**PLAIN, **change})


def test_an_unknown_scenario_names_the_known_ones() -> None:
    with pytest.raises(BadOption, match="smoke"):
        read_scenario("nowhere")


@pytest.mark.parametrize("table", [{"at": 1}, {"at": 1, "what": "flood"}, {"when": 1, "what": "lose-node"}])
def test_chaos_that_is_not_known_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(BadOption, match="chaos"):
        blows_of([table])
