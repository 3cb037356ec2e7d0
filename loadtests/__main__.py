"""python -m loadtests: load on the service, and what it comes to.

run SCENARIO        send it to fakes (--target embedded, or HOST:PORT), and write a report
report FOLDER       make the report of a run again
compare A B         what changed between two reports, beyond noise
clips FOLDER        small real clips, for targets whose models compute
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from loadtests.chaos import blows_of, play
from loadtests.report.compare import compared, table
from loadtests.report.slo import Verdict
from loadtests.run import Options, load, reported, tracing_to
from loadtests.scenario import Scenario, read_scenario
from loadtests.stand.fakes import FakeStand, fake_stand
from loadtests.stand.target import Target
from services.errors import BadOption, OmnimatteError


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 1 when an objective does not hold, 2 for a command that cannot be done."""
    parser = argparse.ArgumentParser(
        prog="loadtests", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("scenario", help="name in loadtests/scenarios, or a TOML file")
    run.add_argument("--target", help="fakes, embedded, or HOST:PORT of an orchestrator (default: the scenario's)")
    run.add_argument("--out", type=Path, help="folder of the report (default: out/load/SCENARIO)")
    run.add_argument("--clips", type=Path, help="folder of real clips (default, where they are needed: made)")
    run.add_argument("--duration", type=float, help="seconds, in place of the scenario's")
    run.add_argument("--rate", type=float, help="Poisson arrivals a second, in place of the scenario's arrivals")
    run.add_argument("--seed", type=int, help="in place of the scenario's")
    report = commands.add_parser("report")
    report.add_argument("folder", type=Path)
    compare = commands.add_parser("compare")
    compare.add_argument("before", type=Path)
    compare.add_argument("after", type=Path)
    clips = commands.add_parser("clips")
    clips.add_argument("folder", type=Path)
    asked = parser.parse_args(arguments)
    try:
        return {"run": _run, "report": _report, "compare": _compare, "clips": _clips}[asked.command](asked)
    except OmnimatteError as error:
        print(f"loadtests: {error.message}", file=sys.stderr)
        return 2


def _run(asked: argparse.Namespace) -> int:
    scenario = _changed(read_scenario(asked.scenario), asked)
    options = Options(out=asked.out or Path("out/load") / scenario.name)
    blows, name = blows_of(scenario.chaos), asked.target or scenario.target
    with tracing_to(options.out, scenario) as environment, _target(name, scenario, options.out, environment) as found:
        target, stand = found
        if blows and stand is None:
            raise BadOption(f"the scenario {scenario.name!r} breaks things, which only a stand of fakes is for.")
        if target.real:
            options = replace(options, clips=asked.clips or _made_clips(options.out))
        load(scenario, target, options, meanwhile=partial(play, stand, blows) if stand and blows else None)
    return _told(*reported(options.out), options.out)


def _changed(scenario: Scenario, asked: argparse.Namespace) -> Scenario:
    from loadtests.arrivals import Poisson

    if asked.duration is not None:
        scenario = replace(scenario, duration=asked.duration)
    if asked.rate is not None:
        scenario = replace(scenario, arrivals=Poisson(asked.rate))
    return scenario if asked.seed is None else replace(scenario, seed=asked.seed)


@contextlib.contextmanager
def _target(
    name: str, scenario: Scenario, out: Path, environment: dict[str, str]
) -> Iterator[tuple[Target, FakeStand | None]]:
    """What is put under load, and the stand that it is, if it is one of fakes."""
    # An earlier run's jobs would go on.
    shutil.rmtree(out / "stand", ignore_errors=True)
    if name == "fakes":
        with fake_stand(
            scenario.stand, tenants=scenario.tenants, folder=out / "stand", environment=environment
        ) as stand:
            yield stand.target, stand
    elif name == "embedded":
        from loadtests.stand.embedded import embedded

        with embedded(out / "stand", environment=environment) as target:
            yield target, None
    else:
        yield _elsewhere(name, scenario), None


def _elsewhere(address: str, scenario: Scenario) -> Target:
    """A service that runs somewhere; each tenant's key is in OMNIMATTE_LOAD_KEY_<TENANT>, or there is one in
    OMNIMATTE_LOAD_KEY for all."""
    import os

    from orchestrator.access.settings import is_loopback

    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise BadOption(f"the target {address!r} is neither fakes nor embedded; give HOST:PORT.")
    if not is_loopback(host) and os.environ.get("OMNIMATTE_LOAD_ELSEWHERE") != "yes":
        raise BadOption(
            f"{host} is not this machine: load on somebody's service costs them money. If it is yours, forward its "
            "port to this machine, or set OMNIMATTE_LOAD_ELSEWHERE=yes."
        )
    one = os.environ.get("OMNIMATTE_LOAD_KEY", "")
    keys = {name: os.environ.get(f"OMNIMATTE_LOAD_KEY_{name.upper()}", one) for name in scenario.tenants}
    return Target(name=address, addresses=[address], tokens=keys, real=True)


def _made_clips(out: Path) -> Path:
    from loadtests.drive.real_clips import make_clips

    return make_clips(out / "clips")


def _told(report: dict[str, Any], found: Sequence[Verdict], out: Path) -> int:
    outcomes, through = report["outcomes"], report["throughput"]
    counts = ", ".join(f"{value} {name}" for name, value in outcomes.items() if isinstance(value, int) and value)
    print(f"{counts}; {through['offered']:.3g} jobs a second offered, {through['done']:.3g} done")
    for line, one in report["classes"].items():
        if one["count"]:
            print(f"{line}: median {one['p50']:.2f} s, p95 {one['p95']:.2f} s")
    for verdict in found:
        print(verdict.line)
    print(f"report: {out / 'report.html'}")
    return 0 if all(one.good for one in found) else 1


def _report(asked: argparse.Namespace) -> int:
    return _told(*reported(asked.folder), asked.folder)


def _compare(asked: argparse.Namespace) -> int:
    reports = [
        json.loads((one / "report.json" if one.is_dir() else one).read_text()) for one in (asked.before, asked.after)
    ]
    changes = compared(*reports)
    print(table(changes), end="")
    return 1 if any(change.verdict == "slower" for change in changes) else 0


def _clips(asked: argparse.Namespace) -> int:
    from loadtests.drive.real_clips import make_clips

    print(make_clips(asked.folder))
    return 0


if __name__ == "__main__":
    # What was started is ended, whoever ends us; a shell lets what it starts in the background ignore SIGINT.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
