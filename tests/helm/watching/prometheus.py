"""A real Prometheus as a child process on the loopback, and promtool. Debian's package `prometheus` has both."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.triton_server import free_port


def needed(program: str) -> str:
    """Where the program is. Skips the test where it is not."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed: apt-get install -y --no-install-recommends prometheus")
    return found


def promtool(*arguments: str) -> None:
    """Fails the test with what promtool says, if it finds fault."""
    done = subprocess.run([needed("promtool"), *arguments], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr


class Prometheus:
    """The running server's API."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, path: str, **parameters: str) -> Any:
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error

    def values(self, expr: str) -> list[float]:
        """The values of an instant query's series. Fails the test if it is refused."""
        return [float(series["value"][1]) for series in self.get("query", query=expr)["result"]]

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]

    def alert(self, name: str) -> str:
        """inactive, pending or firing."""
        states = [rule["state"] for rule in self.rules() if rule["type"] == "alerting" and rule["name"] == name]
        return max(states, key=["inactive", "pending", "firing"].index)


@contextmanager
def prometheus(
    folder: Path, *, rules: Sequence[Path], targets: Mapping[str, Mapping[str, str]]
) -> Iterator[Prometheus]:
    """Scrapes HOST:PORT -> its labels, each second.

    Raises AssertionError if it does not start within 30 s.
    """
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [
            {
                "job_name": "watched",
                "honor_labels": True,
                "static_configs": [{"targets": [at], "labels": dict(labels)} for at, labels in targets.items()],
            }
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    command = [
        needed("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--log.level=warn",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        _wait_ready(process, address, folder / "prometheus.log")
        yield Prometheus(address)
    finally:
        process.terminate()
        process.wait(30)


def _wait_ready(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"http://{address}/-/ready", timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"Prometheus did not get ready: {log.read_text()}")
