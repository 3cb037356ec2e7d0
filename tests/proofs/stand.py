"""What the proofs are made of: processes that can be killed, jobs, and figures that are printed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.client import Client
from orchestrator.plan import plan
from orchestrator.spec import from_dict
from services.artifacts import Store

ROOT = Path(__file__).resolve().parents[2]


class Replica:
    """An orchestrator in a process of its own; see replica.py."""

    def __init__(self, settings: dict[str, Any], **options: Any) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.proofs.replica", json.dumps({"settings": settings, **options})],
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        )
        assert self.process.stdout is not None
        told = self.process.stdout.readline().split()
        assert told, f"the orchestrator does not start: {self.log()[-2000:]}"
        self.address, self.metrics_url = told

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def kill(self) -> None:
        self.end(signal.SIGKILL)

    def end(self, number: int = signal.SIGTERM, *, timeout: float = 60.0) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(timeout)
        if self.process.stdout is not None:
            self.process.stdout.close()

    @property
    def megabytes(self) -> float:
        """Resident memory."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        raise AssertionError("the process has no memory")


@contextmanager
def replica(settings: dict[str, Any], **options: Any) -> Iterator[Replica]:
    running = Replica(settings, **options)
    try:
        yield running
    finally:
        running.end()


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="proof-") as made:
        yield Path(made)


def spec(client: Client, number: int, **options: Any) -> dict[str, Any]:
    """A job of two objects that shares no stage run with one of another number."""
    video = client.upload([f"video {number}".encode()], filename=f"{number}.mp4")
    objects = [{"label": label, "mask": client.upload([f"{label} {number}".encode()])} for label in ("vase", "cup")]
    return {"source": video, "objects": objects, **options}


def ended(client: Client, name: str, *, timeout: float = 120.0) -> pb.Job:
    """The job when it has ended."""
    until = time.monotonic() + timeout
    while True:
        job = client.get(name)
        if job.state in (pb.Job.SUCCEEDED, pb.Job.FAILED, pb.Job.CANCELLED):
            return job
        assert time.monotonic() < until, f"{name} is still {pb.Job.State.Name(job.state)}"
        time.sleep(0.05)


def wait_for(condition: Callable[[], bool], *, timeout: float = 60.0, what: str = "it") -> float:
    """Seconds until the condition held."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < timeout, f"{what} did not happen within {timeout:g} s"
        time.sleep(0.02)
    return time.monotonic() - begun


def critical_path(wanted: dict[str, Any], progress: Sequence[pb.StageProgress]) -> float:
    """Seconds of the longest way through the job's plan, as its stage runs took them."""
    seconds = {run.subject: run.elapsed.ToNanoseconds() / 1e9 for run in progress}
    ends: dict[str, float] = {}
    for node in plan(from_dict(wanted)):
        ends[node.id] = max((ends[name] for name in node.needs), default=0.0) + seconds[node.id]
    return max(ends.values())


def manifests(store: str) -> dict[str, bytes]:
    """Every finished artifact's manifest, which names the attempt that made it."""
    found = Store(store)
    return {
        path: found.read(path) or b""
        for shard in found.folders()
        for path, _, _ in found.listed(shard)
        if path.endswith("/manifest.json")
    }


def deliverables(store: str, address: str) -> dict[str, bytes]:
    artifact = Store(store).get(address)
    return {name: artifact.read(name) for name in artifact.manifest.files}


_WALL_TIME = re.compile(rb'"seconds": ?[0-9.e-]+')


def without_wall_times(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files, but for the seconds that layers.json and the page tell of each stage: no two runs share those."""
    timed = ("layers.json", "index.html")
    return {name: _WALL_TIME.sub(b"", data) if name in timed else data for name, data in files.items()}


def half_made(store: str) -> list[str]:
    """What lies in the store and belongs to no finished artifact."""
    found, kept = Store(store), manifests(store)
    roots = {json.loads(data)["root"] for data in kept.values()}
    rest = []
    for shard in [name for name in found.folders() if len(name) == 2]:
        for path, _, _ in found.listed(shard):
            if path not in kept and "/".join(path.split("/")[:3]) not in roots:
                rest.append(path)
    return rest


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def figure(name: str, value: str) -> None:
    """One line of the table in orchestrator/README.md."""
    print(f"| {name} | {value} |", flush=True)


@contextmanager
def suppressed_output() -> Iterator[None]:
    with open(os.devnull, "w") as null, contextlib.redirect_stderr(null):
        yield
