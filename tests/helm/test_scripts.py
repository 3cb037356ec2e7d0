"""What the pods run besides their program: the liveness probe, the wait for weights, the chart's own test."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tests.helm.chart import CHART, ROOT, SMALL, named, objects

SCRIPTS = CHART / "files" / "scripts"


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path in ("/v2/health/live", "/v2/models/ssr/ready") else 400)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def answering() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def api(*, status: int) -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    servicer = health.HealthServicer()
    servicer.set("", status)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None)


def alive(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", str(SCRIPTS / "alive.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def process(folder: Path, pid: int, name: str, state: str) -> None:
    (folder / str(pid)).mkdir(parents=True)
    (folder / str(pid) / "stat").write_text(f"{pid} ({name}) {state} 1 {pid} 0 -1")


def test_a_server_that_answers_is_alive(tmp_path: Path) -> None:
    process(tmp_path, 1, "tritonserver", "S")
    process(tmp_path, 20, "triton_python_b", "S")
    process(tmp_path, 30, "python", "Z")
    process(tmp_path, 40, "odd) Z (name", "R")
    with answering() as url:
        assert alive(f"{url}/v2/health/live", str(tmp_path)).returncode == 0
        assert alive(f"{url}/v2/health/live").returncode == 0


def test_a_dead_model_s_process_is_seen_although_the_server_answers(tmp_path: Path) -> None:
    process(tmp_path, 20, "triton_python_b", "Z")
    with answering() as url:
        told = alive(f"{url}/v2/health/live", str(tmp_path))
    assert told.returncode == 1 and "a model's process has died: 20" in told.stderr


def test_a_real_zombie_of_that_name_is_seen(tmp_path: Path) -> None:
    # A process takes its name from the file that it runs, cut as the kernel cuts it.
    stub = tmp_path / "triton_python_backend_stub"
    stub.symlink_to("/bin/true")
    child = os.posix_spawn(stub, [str(stub)], dict(os.environ))
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    try:
        with answering() as url:
            told = alive(f"{url}/v2/health/live")
        assert told.returncode == 1 and str(child) in told.stderr
    finally:
        os.waitpid(child, 0)


def test_a_server_that_does_not_answer_is_not_alive(tmp_path: Path) -> None:
    with answering() as url:
        refused = alive(f"{url}/v2/health/other", str(tmp_path))
    gone = alive(f"{url}/v2/health/live", str(tmp_path))
    assert refused.returncode == 1 and gone.returncode == 1
    assert "does not answer" in gone.stderr


def weights_ready(folder: Path, *names: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMNIMATTE_WEIGHTS": str(folder), "PYTHONPATH": str(ROOT)}
    tools = folder / "bin"
    tools.mkdir(exist_ok=True)
    command = tools / "omnimatte"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m orchestrator.cli "$@"\n')
    command.chmod(0o755)
    environment["PATH"] = f"{tools}:{environment['PATH']}"
    return subprocess.run(
        [sys.executable, str(SCRIPTS / "weights_ready.py"), *names],
        env=environment, capture_output=True, text=True, timeout=timeout, cwd=ROOT,
    )  # fmt: skip


def test_weights_that_nobody_knows_end_the_wait(tmp_path: Path) -> None:
    told = weights_ready(tmp_path, "sam3")
    assert told.returncode == 1 and "there are no weights called sam3" in told.stderr


def test_missing_weights_are_waited_for(tmp_path: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        weights_ready(tmp_path, "edgetam,", "sam2.1-tiny", timeout=3)
    assert b"waiting for edgetam, sam2.1-tiny" in (caught.value.stdout or b"")


def test_weights_that_are_there_are_not_waited_for(tmp_path: Path) -> None:
    listed = tmp_path / "bin" / "omnimatte"
    listed.parent.mkdir()
    states = [{"name": "edgetam", "state": "verified"}, {"name": "casper-wan-1.3b", "state": "present"}]
    listed.write_text(f"#!/bin/sh\necho '{json.dumps(states)}'\n")
    listed.chmod(0o755)
    told = subprocess.run(
        [sys.executable, str(SCRIPTS / "weights_ready.py"), "edgetam,", "casper-wan-1.3b"],
        env={**os.environ, "PATH": f"{listed.parent}:{os.environ['PATH']}"},
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert told.returncode == 0 and "all weights are there" in told.stdout


def serving(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPTS / "serving.py"), *arguments], capture_output=True, text=True, timeout=60
    )


def test_the_chart_s_test_passes_where_all_answer() -> None:
    with api(status=health_pb2.HealthCheckResponse.SERVING) as address, answering() as url:
        told = serving(address, f"{url}/v2/models/ssr/ready")
    assert told.returncode == 0
    assert told.stdout.splitlines() == [f"{address}: good", f"{url}/v2/models/ssr/ready: good"]


def test_the_chart_s_test_fails_where_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (SCRIPTS / "serving.py").read_text("utf-8").replace("PATIENCE_SECONDS = 240", "PATIENCE_SECONDS = 0")
    with api(status=health_pb2.HealthCheckResponse.NOT_SERVING) as address:
        told = subprocess.run([sys.executable, "-c", code, address], capture_output=True, text=True, timeout=60)
    assert told.returncode == 1 and "does not serve" in told.stdout


def test_the_scripts_of_the_chart_are_those_that_the_pods_get() -> None:
    data = named(objects(SMALL), "ConfigMap", "scripts")["data"]
    assert {path.name for path in SCRIPTS.glob("*.py")} == set(data)
    for name, text in data.items():
        assert text.strip() == (SCRIPTS / name).read_text("utf-8").strip()
