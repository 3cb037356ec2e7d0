"""python -m loadtests.validate: is the capacity simulation right? The same arrivals on the stand and simulated.

At several loads, real orchestrators, databases and the wire are put under Poisson arrivals with model servers that take
measured times; then the simulation gets the distributions and overheads that the run measured and the very arrivals,
and its mean and p95 latency are held against those of the run. Exit status 1 if one is off by more than 15 %.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from loadtests.arrivals import Poisson
from loadtests.capacity.replay import Difference, relative, replay, replay_table
from loadtests.capacity.service_times import Measured
from loadtests.run import Options, load, reported, tracing_to
from loadtests.scenario import Scenario, read_scenario
from loadtests.stand.fakes import fake_stand

WITHIN = 0.15


def level(scenario: Scenario, rate: float, out: Path) -> Difference:
    """The run at `rate` jobs a second, and what the simulation says of it."""
    shutil.rmtree(out / "stand", ignore_errors=True)
    asked = replace(scenario, name=f"{scenario.name}-{rate:g}", arrivals=Poisson(rate))
    with (
        tracing_to(out, asked) as environment,
        fake_stand(asked.stand, tenants=asked.tenants, folder=out / "stand", environment=environment) as stand,
    ):
        load(asked, stand.target, Options(out=out))
    report, _ = reported(out)
    share = report["throughput"]["offered"] / report["possible_per_second"]
    print(f"\n{rate:g} jobs a second, {100 * share:.0f} % of what the busiest stage's places can do:\n", flush=True)
    differences = replay(Measured.from_report(out / "report.json"))
    print(replay_table(differences), flush=True)
    return next(one for one in differences if one.group == "all" and one.what == "latency")


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenario", default="validate")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.2, 0.45, 0.65])
    parser.add_argument("--out", type=Path, default=Path("out/load/validate"))
    asked = parser.parse_args()
    scenario = read_scenario(asked.scenario)
    worst = 0.0
    for rate in asked.rates:
        one = level(scenario, rate, asked.out / f"{rate:g}")
        worst = max(worst, abs(relative(one.mean)), abs(relative(one.p95)))
    print(f"\nlargest difference of mean or p95 latency over all jobs: {worst:.1%} (at most {WITHIN:.0%})")
    return 0 if worst <= WITHIN else 1


if __name__ == "__main__":
    sys.exit(main())
