"""How much of a job's time is the orchestrator's own, how fast a long queue takes jobs, and whether memory stays flat.

python -m tests.proofs.load [--database sqlite|postgresql] [--jobs 200] [--queued 10000] [--flat 1100]
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.client import Client
from tests import postgres
from tests.proofs.stand import critical_path, ended, figure, folder, percentile, replica, spec


@contextmanager
def database(kind: str, home: Path) -> Iterator[dict[str, Any]]:
    """Settings of an orchestrator on such a database."""
    if kind == "sqlite":
        yield {"store": str(home / "store"), "database_url": f"sqlite:///{home / 'db.sqlite'}"}
        return
    with postgres.serving() as server:
        yield {"store": str(home / "store"), "database_url": server.database(), "executor_id": "proof-0"}


def overhead(kind: str, *, jobs: int, shortest: float, longest: float, over: float = 0.0) -> list[float]:
    """Seconds of each of `jobs` concurrent jobs that were not its stages'; they are created over `over` seconds."""
    with folder() as home, database(kind, home) as settings:
        tempo = {"shortest": shortest, "longest": longest, "step": 1.0}
        with (
            replica({**settings, "running_jobs": jobs, "running_stages": jobs * 8}, tempo=tempo) as running,
            Client(running.address) as client,
        ):
            wanted = [spec(client, i) for i in range(jobs)]

            def create(item: tuple[float, dict[str, Any]]) -> pb.Job:
                time.sleep(max(0.0, item[0] - time.monotonic()))
                return client.create_job(item[1])

            begun = time.monotonic()
            moments = [begun + over * i / jobs for i in range(jobs)]
            with ThreadPoolExecutor(8) as pool:
                made = list(pool.map(create, zip(moments, wanted, strict=True)))
            seconds = []
            for one, job in zip(wanted, made, strict=True):
                last = ended(client, job.name, timeout=900)
                assert last.state == pb.Job.SUCCEEDED, last.error
                took = (last.end_time.ToNanoseconds() - last.create_time.ToNanoseconds()) / 1e9
                seconds.append(took - critical_path(one, last.progress))
            return seconds


def queued(kind: str, *, jobs: int) -> list[float]:
    """Seconds that each creation took while the queue grew to `jobs`."""
    with folder() as home, database(kind, home) as settings:
        tempo = {"shortest": 3600.0, "longest": 3600.0, "step": 60.0}
        policies = {"": {"pending": jobs + 10}}
        with (
            replica({**settings, "running_jobs": 1, "policies": policies}, tempo=tempo) as running,
            Client(running.address) as client,
        ):
            wanted = spec(client, 0)
            seconds = []
            for i in range(jobs + 1):
                begun = time.perf_counter()
                client.create_job({**wanted, "options": {"seed": i}})
                seconds.append(time.perf_counter() - begun)
            running.kill()
            return seconds


def memory(kind: str, *, first: int, jobs: int) -> tuple[float, float]:
    """Megabytes after the first jobs, and after `jobs` more."""
    with (
        folder() as home,
        database(kind, home) as settings,
        replica({**settings, "running_jobs": 4}) as running,
        Client(running.address) as client,
    ):

        def one(number: int) -> None:
            job = client.create_job(spec(client, number))
            assert list(client.watch(job.name))[-1].job.state == pb.Job.SUCCEEDED
            client.delete(job.name)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(one, range(first)))
            before = running.megabytes
            list(pool.map(one, range(first, first + jobs)))
            return before, running.megabytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), action="append", default=[])
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--queued", type=int, default=10_000)
    parser.add_argument("--flat", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    random.seed(asked.seed)
    for kind in asked.database or ["sqlite", "postgresql"]:
        if asked.jobs:
            for over, how in ((60.0, "created within a minute"), (0.0, "created at once")):
                seconds = overhead(kind, jobs=asked.jobs, shortest=5.0, longest=15.0, over=over)
                text = f"{percentile(seconds, 0.5):.2f} s median, {percentile(seconds, 0.95):.2f} s p95"
                figure(f"overhead of {asked.jobs} concurrent jobs, {how}, {kind}", text)
        if asked.queued:
            seconds = queued(kind, jobs=asked.queued)
            tail = seconds[-len(seconds) // 10 :]
            text = f"{1e3 * percentile(tail, 0.5):.1f} ms median, {1e3 * percentile(tail, 0.99):.1f} ms p99"
            figure(f"CreateJob with {asked.queued} jobs queued (the last tenth), {kind}", text)
        if asked.flat:
            before, after = memory(kind, first=100, jobs=asked.flat)
            text = f"{before:.1f} MB, then {after:.1f} MB ({100 * (after / before - 1):+.2f} %)"
            figure(f"memory after 100 jobs and {asked.flat} more, {kind}", text)


if __name__ == "__main__":
    main()
