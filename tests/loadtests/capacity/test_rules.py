"""The autoscaler's rules: what Kubernetes' documentation promises, for any load; and the chart's numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.capacity import chart
from loadtests.capacity.rules import SYNC_SECONDS, Load, Memory, Rules, average_value, decide, desired, value

RULES = Rules(
    least=1,
    most=12,
    pending_per_pod=2,
    oldest_wait=60,
    up_pods=2,
    up_period=60,
    down_pods=1,
    down_period=300,
    down_window=900,
)
LOADS = st.builds(Load, pending=st.integers(0, 200).map(float), oldest=st.floats(0, 5000))
PODS = st.integers(1, 12)


@given(PODS, st.integers(0, 12), st.lists(LOADS, min_size=1, max_size=3))
def test_the_wish_is_within_the_bounds(pods: int, ready: int, loads: list[Load]) -> None:
    assert RULES.least <= desired(pods=pods, ready=min(ready, pods), loads=loads, rules=RULES) <= RULES.most


@given(PODS, LOADS, st.integers(0, 50), st.floats(0, 500))
def test_the_wish_never_falls_with_more_load(pods: int, load: Load, more: int, older: float) -> None:
    exact = replace(RULES, tolerance=0.0)
    heavier = Load(load.pending + more, load.oldest + older)
    wish = desired(pods=pods, ready=pods, loads=[load], rules=exact)
    assert desired(pods=pods, ready=pods, loads=[heavier], rules=exact) >= wish


@given(PODS, st.floats(0, 500), st.floats(0, 100))
def test_within_the_tolerance_load_may_rise_without_a_pod_but_never_costs_one(
    pods: int, metric: float, more: float
) -> None:
    wish = average_value(pods=pods, metric=metric, target=2)
    assert average_value(pods=pods, metric=metric + more, target=2) >= wish - 1


@given(PODS, st.floats(0.91, 1.09))
def test_near_the_target_nothing_changes(pods: int, ratio: float) -> None:
    assert average_value(pods=pods, metric=ratio * 2 * pods, target=2) == pods
    assert value(pods=pods, ready=pods, metric=ratio * 60, target=60) == pods


def test_the_documented_examples() -> None:
    # "if the current metric value is 200m and the desired value is 100m, the number of replicas will be doubled"
    assert value(pods=3, ready=3, metric=200, target=100) == 6
    assert value(pods=4, ready=4, metric=50, target=100) == 2
    assert average_value(pods=1, metric=7, target=2) == 4
    assert desired(pods=2, ready=2, loads=[Load(3, 121)], rules=RULES) == math.ceil(2 * 121 / 60)


@st.composite
def days(draw: st.DrawFn) -> list[Load]:
    """Loads, each for some syncs."""
    parts = draw(st.lists(st.tuples(LOADS, st.integers(1, 60)), min_size=1, max_size=8))
    return [load for load, syncs in parts for _ in range(syncs)]


def sizes(loads: list[Load], rules: Rules, *, pods: int = 1) -> list[tuple[float, int, Load]]:
    """(time, pods, load) after every sync; pods are ready at once."""
    memory, out = Memory(), []
    for sync, load in enumerate(loads):
        now = sync * SYNC_SECONDS
        pods, memory = decide(now=now, pods=pods, ready=pods, loads=[load], rules=rules, memory=memory)
        out.append((now, pods, load))
    return out


@given(days())
def test_stabilisation_never_scales_down_early(loads: list[Load]) -> None:
    history = sizes(loads, RULES)
    for (_, before, _), (now, after, _) in pairwise(history):
        if after < before:
            recent = [(pods, load) for at, pods, load in history if now - RULES.down_window < at <= now]
            # Within the window nobody wanted more than what is left, as far as the count alone says.
            assert all(min(RULES.most, load.pending / 2 / (1 + RULES.tolerance)) <= after + 1e-9 for _, load in recent)


@given(days())
def test_rates_hold_and_bounds_too(loads: list[Load]) -> None:
    history = sizes(loads, RULES)
    for i, (now, pods, _) in enumerate(history):
        assert RULES.least <= pods <= RULES.most
        earlier = [before for at, before, _ in history[:i] if now - at <= RULES.up_period - SYNC_SECONDS]
        if earlier:
            assert pods - min(earlier) <= RULES.up_pods + 1
        slow = [before for at, before, _ in history[:i] if now - at <= RULES.down_period - SYNC_SECONDS]
        if slow:
            assert max(slow) - pods <= RULES.down_pods + RULES.up_pods * (RULES.down_period // RULES.up_period)


def test_a_spike_adds_two_pods_a_minute_and_they_go_one_in_five_minutes_after_a_quarter_of_an_hour() -> None:
    history = sizes([Load(20, 0)] * 20 + [Load(0, 0)] * 200, RULES)
    by_time = {now: pods for now, pods, _ in history}
    assert [by_time[t] for t in (0.0, 45.0, 60.0, 120.0, 180.0, 240.0)] == [3, 3, 5, 7, 9, 10]
    last_busy = 19 * SYNC_SECONDS
    assert by_time[last_busy + 885] == 10
    assert by_time[last_busy + 900] == 9
    assert by_time[last_busy + 900 + 285] == 9
    assert by_time[last_busy + 900 + 300] == 8


def test_keda_wakes_from_none_and_goes_back_after_the_cooldown() -> None:
    rules = replace(RULES, least=0, cooldown=600)
    pods, memory = decide(now=0, pods=0, ready=0, loads=[Load(0, 0)], rules=rules, memory=Memory())
    assert pods == 0
    pods, memory = decide(now=15, pods=0, ready=0, loads=[Load(9, 0)], rules=rules, memory=memory)
    assert pods == 1
    at, quiet = 15.0, 0.0
    while pods:
        at += SYNC_SECONDS
        pods, memory = decide(now=at, pods=pods, ready=pods, loads=[Load(0, quiet)], rules=rules, memory=memory)
    assert at == 15 + 600


def test_the_charts_numbers_are_read() -> None:
    groups = {group.name: group for group in chart.read("production").groups}
    casper = groups["casper"]
    assert casper.rules is not None
    assert (casper.rules.least, casper.rules.most, casper.rules.cooldown) == (0, 40, 1800)
    assert (casper.rules.up_pods, casper.rules.down_window, casper.slices) == (2, 1800, 7)
    assert groups["sam2"].slices == 1 and groups["ingest"].slices == 0
    assert chart.read("").groups[0].rules is None


@pytest.mark.parametrize("overlay", ["", "production", "one-gpu", "laptop", "air-gapped"])
def test_every_overlay_can_be_read(overlay: str) -> None:
    of = chart.read(overlay)
    served = {stage for group in of.groups for stage in group.stages} | set(of.shards)
    assert {"ingest", "sam2", "plate", "casper", "ssr", "depth", "omnimatte", "finish"} <= served
