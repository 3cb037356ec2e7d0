"""The servers' commands: log lines as they were asked for, and no harm from a collector that does not answer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from orchestrator.client import Client
from orchestrator.triton_server import free_port

ROOT = Path(__file__).resolve().parents[3]


def start(folder: Path, *more: str, **environment: str) -> subprocess.Popen[str]:
    """`omnimatte serve` on a model server that is not there."""
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "orchestrator.cli", "serve", "--port", "0", "--metrics-port", "0", *more]
    options = ["--store", str(folder / "store"), "--database", f"sqlite:///{folder / 'db.sqlite'}", "--triton", address]
    env = {**os.environ, **environment}
    return subprocess.Popen([*command, *options], cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> Sequence[str]:
    """What it says from now until its end, which it is asked for."""
    process.send_signal(signal.SIGTERM)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 0, rest
    return rest.splitlines()


def test_every_line_of_a_server_is_json_if_that_was_asked_for_and_a_dead_collector_does_no_harm(tmp_path: Path) -> None:
    dead = f"http://me:hunter2@127.0.0.1:{free_port()}"
    process = start(tmp_path, "--log-format", "json", OTEL_EXPORTER_OTLP_ENDPOINT=dead, OTEL_BSP_SCHEDULE_DELAY="50")
    assert process.stderr is not None
    ready = json.loads(process.stderr.readline())
    assert ready["message"].startswith("ready: embedded") and ready["level"] == "INFO"
    with Client(ready["message"].split("gRPC API on ")[1].split(",")[0]) as client:
        assert list(client.list()) == []
    time.sleep(0.5)
    asked = time.monotonic()
    lines = ended(process)
    assert time.monotonic() - asked < 20
    assert any("opentelemetry" in json.loads(line)["logger"] for line in lines)
    assert not any("hunter2" in line for line in lines)


def test_a_mistake_is_told_in_the_same_format(tmp_path: Path) -> None:
    process = start(tmp_path, OMNIMATTE_LOG_FORMAT="json", OMNIMATTE_STORE="", OMNIMATTE_EXECUTOR_ID="no good name")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    [line] = said.splitlines()
    told = json.loads(line)
    assert told["level"] == "ERROR" and "cannot be used" in told["message"]


def test_lines_are_for_people_by_default(tmp_path: Path) -> None:
    process = start(tmp_path)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("ready: embedded has its gRPC API on")
    ended(process)
