"""An S3-protocol server on the loopback, for tests of everything that keeps its artifacts in a bucket."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.triton_server import HOST, free_port

_SECONDS = 30


@contextmanager
def serving() -> Iterator[str]:
    """The server's URL, for the length of the block."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
    url = f"http://{HOST}:{port}"
    try:
        deadline = time.monotonic() + _SECONDS
        while not _answers(url):
            assert process.poll() is None and time.monotonic() < deadline, "the S3 server does not start"
            time.sleep(0.1)
        yield url
    finally:
        process.kill()
        process.wait()


@contextmanager
def frozen(url: str) -> Iterator[None]:
    """The server at `url` hears nothing for the length of the block: connections are made, and nobody answers."""
    port = url.rpartition(":")[2]
    [pid] = [
        int(path.name)
        for path in Path("/proc").glob("[0-9]*")
        if f"-p\0{port}\0" in _command(path) and "moto" in _command(path)
    ]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _command(process: Path) -> str:
    try:
        return (process / "cmdline").read_text()
    except OSError:
        return ""


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS):
            return True
    except OSError:
        return False


def new_bucket(url: str) -> str:
    """A store's address in a bucket of its own."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    with urllib.request.urlopen(urllib.request.Request(f"{url}/{name}", method="PUT"), timeout=_SECONDS):
        pass
    return f"s3://{name}/some/prefix"


def environment(url: str) -> dict[str, str]:
    """What a process needs to reach the server, as it would with a bucket of one's own."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }
