"""One run: a target comes up, a scenario is sent to it, and a report is made of what happened.

    OUT/orders.jsonl records.jsonl samples.jsonl spans.jsonl     what was written down
    OUT/report.json report.html                                  what that comes to
    OUT/stand/                                                   the target's own files, and logs

Must not know: what a scenario is about.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from loadtests.arrivals import Arrivals
from loadtests.drive.record import Record, read_records
from loadtests.measure.samples import read_samples, sampling
from loadtests.measure.spans import collecting, read_spans
from loadtests.measure.triton import ModelTimes, between, statistics
from loadtests.orders import Order, dumped, orders_of
from loadtests.report.extras import extras
from loadtests.report.hops import hops_of
from loadtests.report.page import page
from loadtests.report.slo import Verdict, read_bounds, verdicts
from loadtests.report.summary import Written, summarised
from loadtests.scenario import Scenario
from loadtests.stand.child import ROOT
from loadtests.stand.target import Target
from services.errors import Internal

Marks = list[tuple[float, str]]

_SAMPLES = 3600
_TRACED_SECONDS = 3600.0
"""Longer runs are not traced: their spans would fill the disk."""


@dataclass(frozen=True)
class Options:
    """How a run is made.

    Attributes:
        out: its folder. clips: of real clips, for a target whose models compute.
        attempts: how often a client sends a call again that time may heal.
        patience: seconds that a watched job may say nothing while its service is away.
    """

    out: Path
    clips: Path | None = None
    attempts: int = 8
    patience: float = 15.0


@contextmanager
def tracing_to(out: Path, scenario: Scenario) -> Iterator[dict[str, str]]:
    """Where the processes of a run send their spans, for the length of the block; yields their environment."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ("records.jsonl", "samples.jsonl", "spans.jsonl"):
        (out / name).unlink(missing_ok=True)
    with collecting(out / "spans.jsonl") as environment:
        yield environment if scenario.duration <= _TRACED_SECONDS else {}


def load(
    scenario: Scenario,
    target: Target,
    options: Options,
    *,
    meanwhile: Callable[[Callable[[], float], Marks], None] | None = None,
) -> None:
    """Send the scenario to the target and write down what happens; returns when all is over.

    meanwhile: called in this thread with a clock (seconds since the run began) and a list for its marks.
    """
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    orders = orders_of(scenario)
    (out / "orders.jsonl").write_text(dumped(orders))
    (out / "target.json").write_text(json.dumps(_target(target, scenario, options)))
    models, marks = statistics(target.models), Marks()
    every = max(1.0, scenario.duration / _SAMPLES)
    with sampling(target, out / "samples.jsonl", every=every), _driver(scenario, out) as driver:
        clock = _clock(out / "records.began", driver)
        if meanwhile is not None:
            meanwhile(clock, marks)
        _wait(driver, out / "records.jsonl", len(orders), scenario.name)
    facts = {
        "scenario": {
            "name": scenario.name,
            "seed": scenario.seed,
            "arrivals": {"process": type(scenario.arrivals).__name__, **_plain(scenario.arrivals)},
            "kinds": {name: asdict(kind) for name, kind in scenario.kinds.items()},
        },
        "target": target.name,
        "began": float((out / "records.began").read_text()),
        "duration": scenario.duration,
        "models": {name: asdict(one) for name, one in between(models, statistics(target.models)).items()},
        "capacity": dict(target.capacity),
        "marks": marks,
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
    }
    (out / "run.json").write_text(json.dumps(facts))
    # The keys of the API have no place in a report's folder.
    (out / "target.json").unlink()


def reported(out: Path) -> tuple[dict[str, Any], list[Verdict]]:
    """The report of what `load` has written down in `out`, written beside it, and its verdicts."""
    written = read_run(out)
    report = {**summarised(written), **extras(written)}
    found = verdicts(report, read_bounds(str(report["scenario"]["name"])))
    report["slo"] = [asdict(one) for one in found]
    (out / "report.json").write_text(json.dumps(report))
    (out / "report.html").write_text(page(report, found))
    return report, found


def read_run(out: Path) -> Written:
    """What `load` has written down."""
    facts = json.loads((out / "run.json").read_text())
    records = _complete(read_records(out / "records.jsonl"), out, float(facts["began"]))
    models = {name: ModelTimes(**one) for name, one in facts.pop("models").items()}
    return Written(
        **facts,
        models=models,
        records=records,
        samples=read_samples(out / "samples.jsonl"),
        hops=hops_of(records, read_spans(out / "spans.jsonl"), began=float(facts["began"])),
    )


def _complete(records: Sequence[Record], out: Path, began: float) -> list[Record]:
    """With those whose end nobody heard: the driver was ended before."""
    heard = {record.number: record for record in records}
    orders = [Order(**json.loads(line)) for line in (out / "orders.jsonl").read_text().splitlines()]
    return [heard.get(order.number) or _lost(order) for order in orders]


def _lost(order: Order) -> Record:
    known = {
        name: getattr(order, name) for name in ("number", "kind", "objects", "frames", "tenant", "line", "preview")
    }
    return Record(**known, due=order.at, sent=order.at, heard=order.at, message="no end was heard in time")


def _plain(arrivals: Arrivals) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(arrivals).items()}


def _target(target: Target, scenario: Scenario, options: Options) -> dict[str, Any]:
    return {
        "addresses": list(target.addresses),
        "tokens": {name: target.tokens.get(name, "") for name in scenario.tenants},
        "clips": str(options.clips or ""),
        "attempts": options.attempts,
        "patience_seconds": options.patience,
    }


@contextmanager
def _driver(scenario: Scenario, out: Path) -> Iterator[subprocess.Popen[bytes]]:
    (out / "records.began").unlink(missing_ok=True)
    (out / "records.jsonl").touch()
    command = [sys.executable, "-m", "locust", "-f", str(ROOT / "loadtests" / "locustfile.py"), "--headless", "-u", "1"]
    command += ["--only-summary", "--orders", str(out / "orders.jsonl"), "--target", str(out / "target.json")]
    command += ["--records", str(out / "records.jsonl"), "--drain", str(scenario.drain), "--exit-code-on-error", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with (out / "locust.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, env=environment)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)


def _clock(began: Path, driver: subprocess.Popen[bytes]) -> Callable[[], float]:
    while not began.exists() or not began.read_text():
        if driver.poll() is not None:
            raise Internal(f"the load generator did not start; see {began.with_name('locust.log')}.")
        time.sleep(0.05)
    start = float(began.read_text())
    return lambda: time.time() - start


def _wait(driver: subprocess.Popen[bytes], records: Path, total: int, name: str) -> None:
    with tqdm(total=total, desc=name, unit="request", disable=None) as bar:
        while driver.poll() is None:
            time.sleep(0.5)
            bar.update(records.read_bytes().count(b"\n") - bar.n)
    if driver.returncode:
        raise Internal(f"the load generator failed; see {records.with_name('locust.log')}.")
