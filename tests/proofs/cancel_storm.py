"""Jobs cancelled at random moments, or by their deadlines: all end in time, nothing runs on, nothing half-made stays.

python -m tests.proofs.cancel_storm [--jobs 100] [--seed 0] [--database sqlite|postgresql]
"""

from __future__ import annotations

import argparse
import random
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.client import Client, Retry, error_of
from services.errors import Conflict, DeadlineExceeded
from tests.proofs import real
from tests.proofs.load import database
from tests.proofs.stand import ended, figure, folder, half_made, percentile, replica, spec, wait_for

STEP = 0.2
"""Seconds between two looks of a stage."""

GRACE = 1.5
"""Seconds that a cancellation may take beyond a step."""


@dataclass(frozen=True)
class Storm:
    """What became of the jobs: how many ended in which state, seconds from each cancel to its job's end, seconds from
    the last cancel until no stage ran, and what was left in the store."""

    states: dict[str, int]
    seconds: list[float]
    idle: float
    left: list[str]


def storm(kind: str, *, jobs: int, seed: int) -> Storm:
    """`jobs` jobs, each cancelled at a moment of its own, some before they run, some twice at once."""
    chances = random.Random(seed)
    moments = [chances.uniform(0.0, 8.0) for _ in range(jobs)]
    twice = [chances.random() < 0.2 for _ in range(jobs)]
    tempo = {"shortest": 0.3, "longest": 1.5, "step": STEP}
    with (
        folder() as home,
        database(kind, home) as settings,
        replica({**settings, "running_jobs": max(2, jobs * 2 // 3)}, tempo=tempo) as running,
        Client(running.address, retry=Retry(attempts=20)) as client,
    ):
        wanted = [spec(client, i) for i in range(jobs)]
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(client.create_job, wanted))

        def cancel(i: int) -> tuple[str, float]:
            time.sleep(moments[i])
            begun = time.time()
            with ThreadPoolExecutor(2) as both:
                for answer in [both.submit(_cancelled, client, made[i].name) for _ in range(1 + twice[i])]:
                    answer.result()
            last = ended(client, made[i].name)
            took = last.end_time.ToNanoseconds() / 1e9 - begun
            return pb.Job.State.Name(last.state), max(0.0, took)

        with ThreadPoolExecutor(jobs) as pool:
            outcomes = list(pool.map(cancel, range(jobs)))
        idle = wait_for(lambda: _in_flight(running.metrics_url) == 0, what="idleness")
        states = [state for state, _ in outcomes]
        return Storm(
            states={state: states.count(state) for state in sorted(set(states))},
            seconds=[seconds for state, seconds in outcomes if state == "CANCELLED"],
            idle=idle,
            left=half_made(settings["store"]),
        )


def _cancelled(client: Client, name: str) -> None:
    try:
        client.cancel(name)
    except Conflict:
        # It came too late, and the server says so.
        assert client.get(name).state in (pb.Job.SUCCEEDED, pb.Job.CANCELLED)


def _in_flight(metrics_url: str) -> float:
    with urllib.request.urlopen(metrics_url, timeout=20) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("omnimatte_stages_in_flight{"))


def deadlines(kind: str, *, jobs: int) -> list[float]:
    """Seconds beyond their deadlines at which `jobs` jobs ended, half of them while they waited."""
    tempo = {"shortest": 1.0, "longest": 2.0, "step": STEP}
    with (
        folder() as home,
        database(kind, home) as settings,
        replica({**settings, "running_jobs": jobs // 2}, tempo=tempo) as running,
        Client(running.address) as client,
    ):
        late = []
        names = [client.create_job(spec(client, i, scheduling={"timeout": 3.0})).name for i in range(jobs)]
        for name in names:
            last = ended(client, name)
            assert last.state == pb.Job.FAILED and isinstance(error_of(last), DeadlineExceeded), last
            late.append((last.end_time.ToNanoseconds() - last.create_time.ToNanoseconds()) / 1e9 - 3.0)
        wait_for(lambda: _in_flight(running.metrics_url) == 0, what="idleness")
        assert half_made(settings["store"]) == []
        return late


def real_stages() -> dict[str, float]:
    """Seconds from a cancel until the model instances of real stages compute nothing any more, by the stage."""
    seconds = {}
    with folder() as home, real.models(str(home / "store"), home / "triton") as models:
        settings = {"store": str(home / "store"), "database_url": f"sqlite:///{home / 'db.sqlite'}"}
        with replica(settings, triton=models.address) as running, Client(running.address) as client:
            wanted = real.upload_job(client, long=True)
            for stage in ("plate", "casper", "depth", "ssr", "omnimatte"):
                job = client.create_job(wanted)
                for event in client.watch(job.name):
                    told = event.progress
                    if told.stage == stage and told.state == pb.StageProgress.RUNNING:
                        break
                time.sleep(0.3)
                begun = time.monotonic()
                client.cancel(job.name)
                seconds[stage] = _idle_after(models) - begun
                last = ended(client, job.name)
                assert last.state == pb.Job.CANCELLED, last
            assert half_made(settings["store"]) == []
    return seconds


def _idle_after(models: real.Models) -> float:
    """The moment since which the instances have used no processor for a quarter of a second."""
    used, since = models.processor_seconds(), time.monotonic()
    while time.monotonic() - since < 0.25:
        time.sleep(0.02)
        now = models.processor_seconds()
        if now > used:
            used, since = now, time.monotonic()
    return since


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), action="append", default=[])
    asked = parser.parse_args()
    free = ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in real_stages().items())
    figure("a real job cancelled in each stage: its processor is free after", free)
    for kind in asked.database or ["sqlite", "postgresql"]:
        found = storm(kind, jobs=asked.jobs, seed=asked.seed)
        told = ", ".join(f"{count} {state.lower()}" for state, count in found.states.items())
        worst = max(found.seconds)
        text = (
            f"{told}; from cancel to end {percentile(found.seconds, 0.5):.2f} s median, "
            f"{percentile(found.seconds, 0.95):.2f} s p95, {worst:.2f} s worst (allowed {STEP + GRACE:.1f} s); "
            f"{len(found.left)} half-made objects"
        )
        figure(f"{asked.jobs} jobs cancelled at random moments, {kind}", text)
        late = deadlines(kind, jobs=20)
        figure(
            f"20 jobs with a deadline, {kind}", f"ended {percentile(late, 0.5):.2f} s after it, {max(late):.2f} s worst"
        )
        assert not found.left and set(found.states) <= {"CANCELLED", "SUCCEEDED"}, found


if __name__ == "__main__":
    main()
