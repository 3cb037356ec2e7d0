"""Looks at a service once a second: its own figures, its processes, its files. A thread writes JSON lines.

Must not know: what the figures mean.
"""

from __future__ import annotations

import json
import os
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from loadtests.stand.target import Target

_SIZES_EVERY = 10


@dataclass(frozen=True)
class Process:
    """What a component's processes have together. cpu_seconds: used so far."""

    memory_bytes: int = 0
    files: int = 0
    threads: int = 0
    cpu_seconds: float = 0.0


@dataclass(frozen=True)
class Sample:
    """One look.

    Attributes:
        time: seconds since the epoch.
        figures: name{labels} -> value, summed over the orchestrators; of gauges that every replica reads from the
            database, the first one's.
        processes: by name.
        shared_bytes: in shared memory. store_bytes, database_bytes: of the files; None where it was not looked.
        gpu_busy_seconds: that all GPUs together have computed so far, where model servers count it; None elsewhere.
        asked: whether every orchestrator answered.
    """

    time: float
    figures: Mapping[str, float] = field(default_factory=dict)
    processes: Mapping[str, Process] = field(default_factory=dict)
    shared_bytes: int = 0
    store_bytes: int | None = None
    database_bytes: int | None = None
    gpu_busy_seconds: float | None = None
    asked: bool = True


@contextmanager
def sampling(target: Target, path: Path, *, every: float = 1.0) -> Iterator[None]:
    """Samples for the length of the block."""
    over = threading.Event()

    def work() -> None:
        with path.open("a") as file:
            count = 0
            while not over.wait(every if count else 0.0):
                file.write(json.dumps(asdict(take(target, sizes=count % _SIZES_EVERY == 0))) + "\n")
                file.flush()
                count += 1
            file.write(json.dumps(asdict(take(target, sizes=True))) + "\n")

    thread = threading.Thread(target=work, name="samples", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def read_samples(path: Path) -> list[Sample]:
    """All of a file."""
    found = []
    for line in path.read_text().splitlines():
        data = json.loads(line)
        processes = {name: Process(**one) for name, one in data.pop("processes").items()}
        found.append(Sample(**data, processes=processes))
    return found


def take(target: Target, *, sizes: bool) -> Sample:
    """One look, now."""
    figures, asked = _figures(target.metrics)
    return Sample(
        time=time.time(),
        figures=figures,
        processes={name: _process(pids) for name, pids in target.processes().items()},
        shared_bytes=_folder_bytes(Path("/dev/shm")),
        store_bytes=_folder_bytes(target.store) if sizes and target.store else None,
        database_bytes=_database_bytes(target.database) if sizes and target.database else None,
        gpu_busy_seconds=_gpu_busy(target.model_metrics),
        asked=asked,
    )


def _figures(urls: Sequence[str]) -> tuple[dict[str, float], bool]:
    total, asked = dict[str, float](), True
    for url in urls:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                text = answer.read().decode()
        except OSError:
            asked = False
            continue
        for family in text_string_to_metric_families(text):
            if not family.name.startswith("omnimatte_"):
                continue
            for one in family.samples:
                if one.name.endswith("_created"):
                    continue
                labels = ",".join(f'{name}="{value}"' for name, value in sorted(one.labels.items()))
                key = f"{one.name}{{{labels}}}" if labels else one.name
                total[key] = (
                    max(total.get(key, 0.0), one.value) if family.type == "gauge" else (total.get(key, 0.0) + one.value)
                )
    return total, asked


def _gpu_busy(urls: Sequence[str]) -> float | None:
    found = None
    for url in urls:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                text = answer.read().decode()
        except OSError:
            continue
        for line in text.splitlines():
            if line.startswith("fake_gpu_busy_seconds "):
                found = (found or 0.0) + float(line.split()[1])
    return found


def _process(pids: Sequence[int]) -> Process:
    memory = files = threads = ticks = 0
    for pid in pids:
        try:
            status = dict(
                line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
            )
            memory += int(status.get("VmRSS", "0 kB").split()[0]) * 1024
            threads += int(status.get("Threads", "0"))
            files += len(os.listdir(f"/proc/{pid}/fd"))
            used = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
            ticks += int(used[11]) + int(used[12])
        except (OSError, ValueError, IndexError):
            continue
    return Process(memory, files, threads, ticks / os.sysconf("SC_CLK_TCK"))


def _database_bytes(path: Path) -> int:
    """Of a SQLite file with what lies beside it, the workflow engine's among it."""
    return sum(one.stat().st_size for one in path.parent.glob(f"{path.name}*") if one.is_file())


def _folder_bytes(folder: Path) -> int:
    """Of all files below it; those that go meanwhile do not count."""
    total, todo = 0, [str(folder)]
    while todo:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    try:
                        if entry.is_dir(follow_symlinks=False):
                            todo.append(entry.path)
                        else:
                            total += entry.stat(follow_symlinks=False).st_size
                    except OSError:
                        continue
        except OSError:
            continue
    return total
