"""How long the ways to a ready orchestrator take: its imports, and an embedded stack in a new home."""

from __future__ import annotations

import asyncio
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from loadtests.data_path.table import Seconds, markdown

MODULES = ("orchestrator.cli", "orchestrator.server", "orchestrator.embedded", "services.artifacts", "services.worker")
PHASES = ("imports", "Triton launched", "models loaded", "orchestrator serving", "ready", "stopped", "CPU")
"""`ready` is the sum of those before it but the imports; `CPU` is that of all processes until the end."""
_TIMED_IMPORT = "import time; a = time.perf_counter(); import {0}; print(time.perf_counter() - a)"
_TIMED_START = "from loadtests.data_path import startup; startup.print_start()"


@dataclass(frozen=True)
class Import:
    """name: of the module. seconds: in fresh processes. slowest: module -> seconds, those that take longest alone."""

    name: str
    seconds: Seconds
    slowest: dict[str, float]


def imports(modules: Sequence[str] = MODULES, *, repetitions: int) -> list[Import]:
    """Import each of `modules` in processes of its own."""
    times: dict[str, list[float]] = {module: [] for module in modules}
    for _ in range(repetitions):
        for module in modules:
            times[module].append(float(_python("-c", _TIMED_IMPORT.format(module)).stdout))
    return [
        Import(module, Seconds(tuple(found)), slowest(_python("-X", "importtime", "-c", f"import {module}").stderr))
        for module, found in times.items()
    ]


def slowest(log: str, *, count: int = 5) -> dict[str, float]:
    """Module -> seconds that it took itself, of the `count` slowest in what `python -X importtime` says."""
    found = {name: int(own) / 1e6 for own, name in re.findall(r"^import time: +(\d+) \| +\d+ \| +(\S+)$", log, re.M)}
    return dict(sorted(found.items(), key=lambda entry: -entry[1])[:count])


def starts(*, repetitions: int) -> dict[str, Seconds]:
    """Phase -> seconds, of embedded stacks in new processes and homes. Needs Triton on this machine."""
    found = [json.loads(_python("-c", _TIMED_START).stdout.splitlines()[-1]) for _ in range(repetitions)]
    return {phase: Seconds(tuple(one[phase] for one in found)) for phase in PHASES}


def report_imports(rows: Sequence[Import]) -> str:
    lines = [
        [
            row.name,
            f"{row.seconds.best:.2f}",
            f"{row.seconds.median:.2f}",
            ", ".join(f"{name} {seconds * 1e3:.0f}" for name, seconds in row.slowest.items()),
        ]
        for row in rows
    ]
    return markdown(["import", "best, s", "median, s", "slowest by themselves, ms"], lines)


def report_starts(phases: dict[str, Seconds]) -> str:
    lines = [[phase, f"{seconds.best:.2f}", f"{seconds.median:.2f}"] for phase, seconds in phases.items()]
    return markdown(["cold start", "best, s", "median, s"], lines)


def print_start() -> None:
    """Start one stack in this process, end it, and print its phases as JSON."""
    began = time.perf_counter()
    from orchestrator.embedded import embedded_stack
    from orchestrator.settings import Home
    from orchestrator.triton_server import TritonServer

    phases = {"imports": time.perf_counter() - began}

    async def start(home: Path) -> None:
        began = time.perf_counter()
        async with embedded_stack(Home(home)):
            phases["ready"] = time.perf_counter() - began
            began = time.perf_counter()
        phases["stopped"] = time.perf_counter() - began

    with (
        tempfile.TemporaryDirectory() as folder,
        _timed(TritonServer, "launch", lambda seconds: phases.update({"Triton launched": seconds})),
        _timed(TritonServer, "wait_ready", lambda seconds: phases.update({"models loaded": seconds})),
    ):
        asyncio.run(start(Path(folder)))
    phases["orchestrator serving"] = phases["ready"] - phases["Triton launched"] - phases["models loaded"]
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    phases["CPU"] = sum(one.ru_utime + one.ru_stime for one in used)
    print(json.dumps(phases))


@contextmanager
def _timed(cls: type, name: str, tell: Callable[[float], None]) -> Iterator[None]:
    """Tell the seconds of each call of the method `name` of `cls`."""
    method = getattr(cls, name)

    def timed(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        try:
            return method(*args, **kwargs)
        finally:
            tell(time.perf_counter() - began)

    with patch.object(cls, name, timed):
        yield


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True, timeout=180)
