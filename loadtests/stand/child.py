"""A process of ours that says a line when it is ready, and ends when we wish.

Must not know: what it does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from services.errors import Unavailable

ROOT = Path(__file__).resolve().parents[2]


class Child:
    """`python ARGUMENTS...`, started at once. A context manager: ended at the block's end."""

    def __init__(
        self, name: str, arguments: Sequence[str], *, logs: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """logs: folder for its log, which several starts of one name share."""
        self.name, self.log = name, logs / f"{name}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=ROOT,
                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **(environment or {})},
                start_new_session=True,  # the terminal's Ctrl-C is for us; we end it in order
            )

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def line(self) -> str:
        """What it says next. Raises Unavailable if it ends instead."""
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        if not said:
            self.process.wait()
            raise Unavailable(f"{self.name} did not start: {self.log_end()}; its whole log is {self.log}.")
        return said.strip()

    def log_end(self) -> str:
        """The last line of its log."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "(its log is empty)"

    def kill(self) -> None:
        """At once, with all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def end(self, *, patience: float = 20.0) -> None:
        """In order; outright if it takes longer than `patience` seconds."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(patience)
            except subprocess.TimeoutExpired:
                self.kill()
        if self.process.stdout is not None:
            self.process.stdout.close()
