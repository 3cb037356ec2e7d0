"""The simulation keeps what must be kept, and agrees with theory where there is one."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.capacity.clips import Arrival, Kind, Mix, Step, day, peak_hours, steps
from loadtests.capacity.cluster import Group
from loadtests.capacity.fleets import fixed, gpus_of, scaled
from loadtests.capacity.nodes import NodePool
from loadtests.capacity.rules import Rules
from loadtests.capacity.service_times import Draws, ServiceTimes, Table
from loadtests.capacity.setups import Choice, assumed
from loadtests.capacity.simulate import Outcome, Setup, simulate
from orchestrator.scheduling.policy import Policies, Policy
from orchestrator.timing import Line

STAGES = ("ingest", "sam2", "plate", "casper", "ssr", "depth", "omnimatte", "finish")
CPU = ("ingest", "plate", "finish")


def setup(*, seconds: float = 10.0, places: int = 1, pods: int = 2, **more: object) -> Setup:
    """Kinds "one" and "three", a group for each stage, every stage about `seconds`."""
    tables = {stage: Table((0.5 * seconds, seconds, 2 * seconds)) for stage in STAGES}
    groups = [
        Group(stage, (stage,), {stage: places}, "cpu" if stage in CPU else "gpu", start_seconds=30.0, pods=pods)
        for stage in STAGES
    ]
    made = Setup(
        kinds={"one": Kind("one", steps(objects=1)), "three": Kind("three", steps(objects=3), objects=3)},
        times=ServiceTimes({"one": tables, "three": tables}),
        pools=(NodePool("gpu", cards=4), NodePool("cpu", cards=8, gpu=False)),
        groups=groups,
        keep_runs=True,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def some(jobs: int, *, every: float = 5.0) -> list[Arrival]:
    kinds, lines = ("one", "three"), (Line.INTERACTIVE, Line.BATCH, Line.INTERACTIVE)
    return [Arrival(i * every, kinds[i % 2], lines[i % 3], f"tenant-{i % 4}") for i in range(jobs)]


def check_conservation(made: Setup, outcome: Outcome, arrivals: list[Arrival]) -> None:
    """Every job ends once or is refused; every step is done once; no pod ever has more runs than places."""
    assert len(outcome.records) == len(arrivals)
    places = {stage: group.places[stage] for group in made.groups for stage in group.stages}
    finished = Counter((run.job, run.stage) for run in outcome.runs)
    for number, record in enumerate(outcome.records):
        assert record.refused == math.isnan(record.ended)
        if not record.refused:
            assert record.created <= record.taken <= record.ended
            wanted = Counter(step.stage for step in made.kinds[record.kind].steps)
            for stage, runs in wanted.items():
                assert finished[number, stage] >= runs
    changes: dict[tuple[int, str], list[tuple[float, int]]] = {}
    for run in outcome.runs:
        changes.setdefault((run.pod, run.stage), []).extend([(run.begin, 1), (run.end, -1)])
    for (_, stage), events in changes.items():
        used = 0
        for _, change in sorted(events):
            used += change
            assert used <= places[stage]
        assert used == 0


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 3),
    st.integers(1, 3),
    st.booleans(),
    st.integers(0, 3),
    st.sampled_from([0, 6.0]),
)
def test_nothing_is_lost_and_nothing_happens_twice(
    jobs: int, places: int, pods: int, sharding: bool, pending: int, rate: float
) -> None:
    pools = (NodePool("gpu", cards=4, preemptions_per_hour=rate), NodePool("cpu", cards=8, gpu=False))
    policies = Policies(Policy(pending=pending or 1000))
    made = setup(places=places, pods=pods, sharding=sharding, policies=policies, pools=pools, running_jobs=3)
    arrivals = some(jobs)
    outcome = simulate(made, arrivals, 1)
    check_conservation(made, outcome, arrivals)
    if rate == 0:
        steps_done = sum(len(made.kinds[r.kind].steps) for r in outcome.records if not r.refused)
        assert len(outcome.runs) == steps_done


def test_a_seed_gives_the_same_outcome() -> None:
    made = setup(pools=(NodePool("gpu", preemptions_per_hour=2.0), NodePool("cpu", cards=8, gpu=False)))
    one, same, other = (simulate(made, some(30), seed) for seed in (5, 5, 6))
    assert one == same
    assert one.records != other.records


def test_steps_run_in_the_plans_order() -> None:
    made = setup(pods=4)
    outcome = simulate(made, [Arrival(0.0, "three")], 1)
    ends = {run.stage: run.end for run in sorted(outcome.runs, key=lambda run: run.end)}
    begins = {run.stage: run.begin for run in sorted(outcome.runs, key=lambda run: -run.begin)}
    assert ends["ingest"] <= begins["sam2"] and ends["plate"] <= begins["casper"]
    assert begins["finish"] >= ends["omnimatte"]
    assert Counter(run.stage for run in outcome.runs)["casper"] == 4


def test_interactive_jobs_come_first_and_tenants_share() -> None:
    made = setup(pods=1, running_jobs=1)
    batch = [Arrival(0.0, "one", Line.BATCH, "a") for _ in range(4)]
    mine = [Arrival(1.0, "one", Line.INTERACTIVE, "b") for _ in range(3)]
    other = [Arrival(1.0, "one", Line.INTERACTIVE, "c")]
    outcome = simulate(made, [*batch, *mine, *other], 1)
    order = [r.tenant for r in sorted(outcome.records, key=lambda record: record.taken)]
    # The first batch job was taken before anybody else was there; then nobody gets all his turns in a row.
    assert order == ["a", "b", "c", "b", "b", "a", "a", "a"]


def test_more_than_may_wait_is_refused() -> None:
    made = setup(running_jobs=1, policies=Policies(Policy(pending=3)))
    outcome = simulate(made, [Arrival(0.0, "one", tenant="a") for _ in range(9)], 1)
    # None was taken yet when they came, all at once: so three may wait, and begin one after the other.
    assert outcome.refused == 9 - 3
    assert all(math.isnan(record.ended) for record in outcome.records if record.refused)


def erlang_c_wait(servers: int, load: float, mean: float) -> float:
    """Mean seconds of waiting in an M/M/c queue; `load` in erlangs, `mean` service seconds."""
    top = load**servers / math.factorial(servers) * servers / (servers - load)
    waits = top / (sum(load**k / math.factorial(k) for k in range(servers)) + top)
    return waits * mean / (servers - load)


@pytest.mark.parametrize(("servers", "utilisation"), [(1, 0.7), (4, 0.8), (10, 0.9)])
def test_it_agrees_with_erlang_c(servers: int, utilisation: float) -> None:
    shares = [(i + 0.5) / 2000 for i in range(2000)]
    table = Table(tuple(-math.log1p(-share) * 10.0 for share in shares))
    made = Setup(
        kinds={"one": Kind("one", (Step("casper"),))},
        times=ServiceTimes({"one": {"casper": table}}),
        pools=(NodePool("gpu"),),
        groups=(Group("casper", ("casper",), {"casper": 1}, "gpu", pods=servers),),
        running_jobs=1 << 20,
        running_stages=1 << 20,
        policies=Policies(Policy(pending=1 << 20)),
        sample_seconds=1e5,
    )
    rate = servers * utilisation / table.mean
    waits, busy = [], []
    for seed in range(3):
        draws, at, arrivals = Draws(100 + seed), 0.0, []
        for _ in range(25_000):
            at += draws.exponential(1 / rate)
            arrivals.append(Arrival(at, "one"))
        outcome = simulate(replace(made, count_from=1000.0, count_until=at), arrivals, seed)
        waits.append(outcome.mean_latency() - table.mean)
        busy.append(outcome.busy_share)
    theory = erlang_c_wait(servers, servers * utilisation, table.mean)
    assert sum(waits) / 3 == pytest.approx(theory, rel=0.15)
    assert sum(busy) / 3 == pytest.approx(utilisation, rel=0.03)


@pytest.mark.parametrize("checkpointed", [True, False])
def test_a_lost_node_costs_at_most_a_checkpoints_work(checkpointed: bool) -> None:
    every = 20.0
    made = Setup(
        kinds={"one": Kind("one", (Step("omnimatte"),))},
        times=ServiceTimes({"one": {"omnimatte": Table((600.0,))}}),
        pools=(NodePool("gpu", preemptions_per_hour=12.0, provision_seconds=60.0),),
        groups=(Group("omnimatte", ("omnimatte",), {"omnimatte": 1}, "gpu", pods=2),),
        checkpoints={"omnimatte": every} if checkpointed else {},
        keep_runs=True,
    )
    outcome = simulate(made, [Arrival(i * 300.0, "one") for i in range(12)], 3)
    lost = [run.lost for run in outcome.runs if run.lost > 0]
    assert lost and outcome.preempted > 0
    assert outcome.lost_seconds == pytest.approx(sum(lost))
    assert (max(lost) <= every) == checkpointed
    computed = sum(run.end - run.begin for run in outcome.runs)
    assert computed == pytest.approx(12 * 600.0 + sum(lost))


def test_workers_are_made_for_a_run_and_go_after_it() -> None:
    base = setup(pods=2)
    groups = [replace(g, worker=g.name == "omnimatte", start_seconds=20.0) for g in base.groups]
    made = replace(base, groups=groups)
    arrivals = some(12)
    outcome = simulate(made, arrivals, 1)
    check_conservation(made, outcome, arrivals)
    runs = [run for run in outcome.runs if run.stage == "omnimatte"]
    assert len({run.pod for run in runs}) == len(runs)


def test_sharding_over_four_gpus_makes_a_clip_of_three_objects_sooner() -> None:
    stages = tuple(stage for stage in STAGES if stage not in CPU)
    base = setup()
    # As on real GPUs, Casper and the solver take most of the time.
    times = {stage: Table((60.0 if stage == "casper" else 30.0 if stage == "omnimatte" else 3.0,)) for stage in STAGES}
    made = replace(base, times=ServiceTimes({"three": times}))

    def latency(gpus: int, *, sharding: bool) -> float:
        pod = Group("gpu", stages, dict.fromkeys(stages, 1), "gpu", pods=gpus, together=1)
        groups = [*(group for group in base.groups if group.pool == "cpu"), pod]
        return simulate(replace(made, groups=groups, sharding=sharding), [Arrival(0.0, "three")], 1).records[0].latency

    # ingest, sam2, depth (and plate beside it), finish; 4 runs of Casper and of super-resolution, 3 of the solver.
    assert latency(1, sharding=False) == pytest.approx(4 * 3 + 4 * 60 + 4 * 3 + 3 * 30)
    assert latency(1, sharding=True) == pytest.approx(latency(1, sharding=False), rel=0.02)
    assert latency(1, sharding=False) / latency(4, sharding=True) >= 2.5
    assert latency(4, sharding=False) == latency(1, sharding=False)


def test_without_sharding_a_job_has_one_gpu_run_at_a_time() -> None:
    outcome = simulate(setup(pods=4, sharding=False), [Arrival(0.0, "three"), Arrival(1.0, "one")], 2)
    for job in (0, 1):
        runs = sorted((r.begin, r.end) for r in outcome.runs if r.job == job and r.stage not in CPU)
        assert all(end <= begin + 1e-9 for (_, end), (begin, _) in pairwise(runs))


def test_autoscaled_pods_come_for_work_and_go_without() -> None:
    rules = Rules(
        least=0, most=6, pending_per_pod=2, oldest_wait=60, up_pods=2, up_period=60,
        down_pods=1, down_period=60, down_window=120, cooldown=300,
    )  # fmt: skip
    base = setup()
    groups = [
        replace(g, rules=rules if g.name == "casper" else None, pods=0 if g.name == "casper" else 2)
        for g in base.groups
    ]
    pools = (NodePool("gpu", provision_seconds=100.0, idle_seconds=60.0), base.pools[1])
    arrivals = [Arrival(float(i), "three") for i in range(10)]
    outcome = simulate(replace(base, groups=groups, pools=pools, count_until=7200.0), arrivals, 1)
    pods = [sample.pods["casper"] for sample in outcome.samples]
    first = min(run.begin for run in outcome.runs if run.stage == "casper")
    assert first >= 100 + 30
    assert pods[0] == 0 and max(pods) > 2 and pods[-1] == 0
    check_conservation(base, outcome, arrivals)


def test_nodes_are_paid_from_the_wish_to_the_end() -> None:
    made = setup(pods=1, pools=(NodePool("gpu", cards=4, price_per_hour=3.0), NodePool("cpu", cards=8, gpu=False)))
    outcome = simulate(replace(made, count_until=7200.0), some(3), 1)
    # Five GPU groups of one card each, on nodes of four: two nodes for two hours.
    assert outcome.gpu_hours == pytest.approx(2 * 4 * 2.0)
    assert outcome.cost == pytest.approx(2 * 4 * 2.0 * 3.0)


def test_arrivals_follow_the_day() -> None:
    mix = Mix({"one": 0.5, "three": 0.5}, interactive=0.7, peak=2.0)
    arrivals = day(mix, per_day=20_000, begin=0.0, end=86400.0, seed=1)
    assert len(arrivals) == pytest.approx(20_000, rel=0.03)
    noon = len(peak_hours(mix, per_day=20_000, hours=1.0, seed=2))
    assert noon == pytest.approx(20_000 / 24 * 2, rel=0.08)
    assert sum(a.line is Line.INTERACTIVE for a in arrivals) / len(arrivals) == pytest.approx(0.7, abs=0.02)


def test_a_fleet_has_the_gpus_that_it_was_given() -> None:
    world = assumed(Choice())
    for gpus in (8, 20, 64):
        assert gpus - 1 <= gpus_of(fixed(world, gpus=gpus, per_day=5000)) <= gpus
    assert all(group.rules is None for group in fixed(world, gpus=8, per_day=5000).groups)
    most = {g.name: g.rules.most for g in scaled(world, most={"casper": 40}, per_day=5000).groups if g.rules}
    assert most["casper"] == 40 and most["ssr"] == 12


def test_an_hour_with_thousands_of_jobs_is_simulated_whole() -> None:
    world = assumed(Choice())
    arrivals = peak_hours(world.mix, per_day=36_000, hours=1.0, seed=1)
    made = fixed(world, gpus=140, per_day=36_000)
    outcome = simulate(made, arrivals, 1)
    assert len(outcome.records) == len(arrivals) > 2500
