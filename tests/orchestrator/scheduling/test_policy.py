"""Whose job is next: shares that hold, nobody who starves, and reasons that are true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.scheduling.policy import Policies, Policy, Shares, Standing, Waiting, choose, why
from orchestrator.timing import Line

TENANTS = ("a", "b", "c")
weights = st.floats(0.25, 8)


def served(
    rounds: int, jobs: Mapping[str, int], policies: Policies, costs: Mapping[str, float], line: Line = Line.BATCH
) -> list[str]:
    """Who is chosen in `rounds` rounds, when each chosen job ends before the next choice."""
    left, shares, order = dict(jobs), Shares(0.0, {}), list[str]()
    for _ in range(rounds):
        chosen = choose([Waiting(name, line, count) for name, count in left.items()], {}, shares, policies)
        if chosen is None:
            break
        left[chosen.tenant] -= 1
        shares = shares.after(chosen.tenant, cost=costs[chosen.tenant], weight=policies.of(chosen.tenant).weight)
        order.append(chosen.tenant)
    return order


@given(st.tuples(weights, weights, weights), st.tuples(*[st.floats(0.5, 9)] * 3))
def test_tenants_that_always_wait_get_work_by_their_weights(
    chosen: tuple[float, ...], costs: tuple[float, ...]
) -> None:
    policies = Policies(tenants={name: Policy(weight=weight) for name, weight in zip(TENANTS, chosen, strict=True)})
    cost = dict(zip(TENANTS, costs, strict=True))
    counts = Counter(served(300, dict.fromkeys(TENANTS, 300), policies, cost))
    shares = [counts[name] * cost[name] / policies.of(name).weight for name in TENANTS]
    # Start-time fair queueing: any two differ by at most one job of each (Goyal, Vin and Cheng, theorem 1).
    for i, first in enumerate(TENANTS):
        for j, second in enumerate(TENANTS):
            bound = cost[first] / chosen[i] + cost[second] / chosen[j]
            assert abs(shares[i] - shares[j]) <= bound * (1 + 1e-6)


@given(st.integers(1, 60))
def test_a_tenant_with_a_thousand_jobs_does_not_hold_up_one_with_a_single_job(before: int) -> None:
    shares = Shares(0.0, {})
    for _ in range(before):
        shares = shares.after("a", cost=1, weight=1)
    chosen = choose([Waiting("a", Line.BATCH, 1000), Waiting("b", Line.BATCH, 1)], {}, shares, Policies())
    assert chosen is not None and chosen.tenant == "b"


def test_rest_is_not_saved_up() -> None:
    shares = Shares(0.0, {})
    for _ in range(50):
        shares = shares.after("a", cost=1, weight=1)
    left, order = {"a": 20, "b": 20}, []
    for _ in range(10):
        chosen = choose([Waiting(t, Line.BATCH, n) for t, n in left.items()], {}, shares, Policies())
        assert chosen is not None
        order.append(chosen.tenant)
        left[chosen.tenant] -= 1
        shares = shares.after(chosen.tenant, cost=1, weight=1)
    assert abs(Counter(order)["a"] - Counter(order)["b"]) <= 2


@given(st.lists(st.tuples(st.sampled_from(TENANTS), st.sampled_from(list(Line)), st.integers(0, 5)), max_size=6))
def test_interactive_jobs_come_before_batch_jobs(rows: list[tuple[str, Line, int]]) -> None:
    waiting = [Waiting(*row) for row in rows]
    chosen = choose(waiting, {}, Shares(0.0, {"a": 9.0}), Policies())
    if any(one.jobs and one.line is Line.INTERACTIVE for one in waiting):
        assert chosen is not None and chosen.line is Line.INTERACTIVE
    else:
        assert (chosen is None) == (not any(one.jobs for one in waiting))


@given(st.dictionaries(st.sampled_from(TENANTS), st.integers(0, 4)), st.integers(1, 3))
def test_nobody_runs_more_jobs_than_may(running: dict[str, int], limit: int) -> None:
    policies = Policies(default=Policy(running=limit))
    chosen = choose([Waiting(name, Line.BATCH, 1) for name in TENANTS], running, Shares(0.0, {}), policies)
    free = {name for name in TENANTS if running.get(name, 0) < limit}
    assert (chosen.tenant in free) if chosen else not free


def test_a_job_that_waits_says_why() -> None:
    standing = Standing(
        tenant="studio", ahead=3, others=2, running=2, all_running=4, places=4, replicas=2, handed_back=True
    )
    limited = why(standing, Policy(running=2))
    assert (limited.name, limited.ahead) == ("TENANT_LIMIT", 3)
    assert "2 of the 2" in limited.message and "begun before" in limited.message
    full = why(standing, Policy())
    assert full.name == "NO_CAPACITY" and "all 4 places of 2 replica(s)" in full.message
    assert why(Standing("studio", 0, 0, 0, 0, 0, 0), Policy()).name == "NO_REPLICA"
    assert why(Standing("studio", 1, 0, 0, 0, 4, 1), Policy()).name == "QUEUE"
