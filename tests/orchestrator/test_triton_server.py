"""Starting, watching and ending the real Triton binary."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator import triton_runtime
from orchestrator.stack import wait_dead
from orchestrator.triton_server import HOST, Ports, TritonServer, free_ports
from services.errors import NotFound, Unavailable
from tests.model_repository.toy_server import ROOT, toy_repository, toy_server

BROKEN = "import a_library_that_is_not_there"
STARTER = """
import sys
from pathlib import Path
from orchestrator.triton_server import TritonServer, Ports
folder = Path(sys.argv[1])
models = folder / "models"
server = TritonServer(store=str(folder / "store"), folder=folder / "run", ports=Ports.free(), repository=models)
server.start()
print(server.pid, flush=True)
sys.stdin.read()
"""


def processes_of(folder: Path) -> list[int]:
    """Ids of the live processes that were started from `folder`."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder) in (path / "cmdline").read_text():
                found.append(int(path.name))
        except OSError:
            continue
    return found


def shared_memory() -> set[str]:
    return {path.name for path in Path("/dev/shm").glob("omnimatte-*")}


def until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


async def test_a_server_starts_is_killed_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    memory_before = shared_memory()
    server = toy_server(tmp_path)
    try:
        server.start()
        assert server.died() is None
        assert len(processes_of(tmp_path)) >= 3, "the guard, the server and its instances"
        os.kill(server.pid, signal.SIGKILL)
        reason = await wait_dead(server)
        assert server.grpc_address in reason
        assert "killed by signal 9" in reason
        assert str(server.log_path) in reason
    finally:
        server.stop()
    assert until(lambda: processes_of(tmp_path) == [])
    assert shared_memory() == memory_before


def test_nothing_outlives_a_starter_that_is_killed(tmp_path: Path) -> None:
    toy_server(tmp_path)  # makes the repository
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as starter:
        assert starter.stdout is not None
        server = int(starter.stdout.readline())
        assert server in processes_of(tmp_path)
        starter.kill()
    assert until(lambda: processes_of(tmp_path) == [])


def test_servers_run_side_by_side_and_leave_nothing_when_stopped(tmp_path: Path) -> None:
    memory_before = shared_memory()
    servers = [toy_server(tmp_path / name) for name in ("one", "two")]
    try:
        for server in servers:
            server.launch()
        for server in servers:
            server.wait_ready()
        assert shared_memory() > memory_before
    finally:
        for server in servers:
            server.stop()
            server.stop()
    assert [server.died() for server in servers] == [None, None], "what was asked to end has not died"
    assert processes_of(tmp_path) == []
    assert shared_memory() == memory_before


@pytest.mark.parametrize("which, flag", [(0, "--triton-grpc-port"), (1, "--triton-http-port")])
def test_a_port_in_use_is_told_with_the_flag_that_changes_it(tmp_path: Path, which: int, flag: str) -> None:
    ports = free_ports(3)
    server = toy_server(tmp_path, ports=Ports(*ports))
    with socket.socket() as other:
        other.bind((HOST, ports[which]))
        other.listen()
        with pytest.raises(Unavailable, match=rf"port {ports[which]} .* in use .* {flag}"):
            server.start()
    assert not (tmp_path / "run").exists()


def test_a_model_that_does_not_load_is_named_with_the_reason(tmp_path: Path) -> None:
    server = toy_server(tmp_path, model=BROKEN)
    with pytest.raises(Unavailable, match=r"'toy' did not load .*No module named 'a_library_that_is_not_there'"):
        server.start()
    assert processes_of(tmp_path) == []


def test_an_unknown_model_is_refused(tmp_path: Path) -> None:
    server = TritonServer(
        store=str(tmp_path / "store"),
        folder=tmp_path / "run",
        ports=Ports.free(),
        repository=toy_repository(tmp_path),
        models=["toi"],
    )
    with pytest.raises(NotFound, match=r"no model 'toi' .* toy"):
        server.start()


def test_a_missing_triton_is_told_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMNIMATTE_TRITON_HOME", str(tmp_path))
    with pytest.raises(Unavailable, match=r"pip install .*nvidia-pytriton"):
        triton_runtime.find_triton()


def test_the_library_of_python_can_be_pointed_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    library.touch()
    monkeypatch.setenv("OMNIMATTE_LIBPYTHON", str(tmp_path))
    assert triton_runtime.find_libpython() == library


def test_free_ports_differ() -> None:
    assert len(set(free_ports(20))) == 20
