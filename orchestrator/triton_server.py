"""One Triton server as a child process: started, watched, and ended without leftovers.

Must not know: what the models compute, and who calls them. It speaks no gRPC; readiness is one HTTP request.
"""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from orchestrator import triton_runtime
from orchestrator.triton_guard import INSTANCE_DIED
from services.errors import Unavailable

HOST = "127.0.0.1"
_GUARD = Path(__file__).with_name("triton_guard.py")
_POLL_SECONDS = 0.1
_LOG_LINES = 3
_GRACE_SECONDS = 1
"""Nothing of value is lost with a server that is killed: its work is either in the store or will be done again."""


@dataclass(frozen=True)
class Ports:
    """Where the server listens, on 127.0.0.1 only."""

    grpc: int = field(default=8001, metadata={"flag": "--triton-grpc-port"})
    http: int = field(default=8000, metadata={"flag": "--triton-http-port"})
    metrics: int = field(default=8002, metadata={"flag": "--triton-metrics-port"})

    @classmethod
    def free(cls) -> Ports:
        """Three ports that nobody uses at this moment."""
        return cls(*free_ports(3))


def free_ports(count: int) -> list[int]:
    """`count` different TCP ports that are free at this moment on 127.0.0.1."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((HOST, 0))
        return [int(one.getsockname()[1]) for one in sockets]


def free_port() -> int:
    """A TCP port that is free at this moment on 127.0.0.1."""
    return free_ports(1)[0]


def require_free(port: int, *, flag: str) -> None:
    """Raises Unavailable, naming `flag` as the way out, if somebody listens on `port`."""
    with socket.socket() as probe:
        # As servers do: a connection of an earlier server that is still closing does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise Unavailable(
                f"port {port} on {HOST} is in use by another program ({error.strerror}); "
                f"stop that program or choose another port with {flag}."
            ) from error


class TritonServer:
    """Triton on `model_repository`, from `start` to `stop`.

    Thread-safe enough for its use: `stop` and `died` may be called from another thread than `wait_ready`.
    """

    def __init__(
        self,
        *,
        store: str,
        folder: Path,
        ports: Ports | None = None,
        repository: Path | None = None,
        models: Sequence[str] | None = None,
        threads: int = 1,
        triton: Path | None = None,
        instances: Mapping[str, int] | None = None,
        environment: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        """
        Args:
            store: the artifact store, handed to every model.
            folder: for the server's runtime files and its log; `folder/triton-<grpc port>` is made anew.
            ports: where to listen; default 8000 to 8002.
            repository: the model repository; default: the project's own.
            models: which of its models to serve; default: all.
            threads: how many threads one model instance computes with.
            triton: where the wheel is; see `triton_runtime.find_triton`.
            instances: how many instances a model has, where that is not what its configuration says.
            environment: more variables for the models.
            options: more of the server's own.
        """
        self.ports = ports or Ports()
        self.store = store if "://" in store else str(Path(store).absolute())
        self._folder = (folder / f"triton-{self.ports.grpc}").absolute()
        self._repository = repository or triton_runtime.project_root() / "model_repository"
        self._models = list(models) if models is not None else triton_runtime.model_names(self._repository)
        self._threads = threads
        self._triton = triton
        self._instances = dict(instances or {})
        self._environment = dict(environment or {})
        self._options = tuple(options)
        self._guard: subprocess.Popen[bytes] | None = None
        self._stopping = False
        self.pid = 0

    @property
    def grpc_address(self) -> str:
        return f"{HOST}:{self.ports.grpc}"

    @property
    def metrics_url(self) -> str:
        return f"http://{HOST}:{self.ports.metrics}/metrics"

    @property
    def log_path(self) -> Path:
        return self._folder / "triton.log"

    def launch(self) -> None:
        """Start the process and return at once. Raises Unavailable (a port is in use, a part is missing), NotFound."""
        for entry in fields(self.ports):
            require_free(getattr(self.ports, entry.name), flag=entry.metadata["flag"])
        runtime = triton_runtime.prepare(
            self._folder,
            repository=self._repository,
            models=self._models,
            instances=self._instances,
            triton=self._triton,
        )
        prefix = f"omnimatte-{uuid.uuid4().hex[:12]}-"
        env = triton_runtime.environment(runtime, store=self.store, threads=self._threads, extra=self._environment)
        with self.log_path.open("wb") as log:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_GUARD), str(_GRACE_SECONDS), prefix, *self._command(runtime, prefix)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=triton_runtime.project_root(),
                env=env,
                start_new_session=True,  # the terminal's Ctrl-C is for us: we end the server in order
            )
        assert self._guard.stdout is not None
        self.pid = int(self._guard.stdout.readline() or 0)

    def wait_ready(self, *, timeout: float = 300.0) -> None:
        """Return when every model is loaded. Raises Unavailable, naming the model that failed, if that will not be."""
        deadline = time.monotonic() + timeout
        while not self._ready():
            if self._stopping:
                raise Unavailable(f"the model server on {self.grpc_address} was stopped while it was starting.")
            if self.died() is not None:
                raise Unavailable(self._why_not_started())
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"the model server was not ready after {timeout:.0f} s; look at its log {self.log_path}, "
                    f"which ends with: {self._log_end()}"
                )
            time.sleep(_POLL_SECONDS)

    def start(self) -> None:
        """`launch` and `wait_ready`; nothing is left running if that fails."""
        try:
            self.launch()
            self.wait_ready()
        except BaseException:
            self.stop()
            raise

    def died(self) -> str | None:
        """Why the server is not running, as a sentence; None while it is running or after `stop`."""
        if self._guard is None or self._stopping or self._guard.poll() is None:
            return None
        status = self._guard.returncode
        if status == INSTANCE_DIED:
            return (
                f"a model instance of the server on {self.grpc_address} died, most likely for lack of memory, and the "
                f"server was ended; look at its log {self.log_path}, and restart it with less work at once."
            )
        how = f"was killed by signal {status - 128}" if status > 128 else f"ended with exit status {status}"
        return (
            f"the model server on {self.grpc_address} {how}; look at its log {self.log_path}, "
            f"which ends with: {self._log_end()}"
        )

    def stop(self) -> None:
        """End the server and all its processes; returns when they are gone. Calling it again does nothing."""
        self._stopping = True
        if self._guard is None:
            return
        assert self._guard.stdin is not None and self._guard.stdout is not None
        self._guard.stdin.close()
        self._guard.stdout.close()
        self._guard.wait()

    def _command(self, runtime: triton_runtime.Runtime, shm_prefix: str) -> list[str]:
        return [
            str(runtime.binary),
            f"--model-repository={runtime.models}",
            f"--backend-directory={runtime.backends}",
            f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
            # Requests are a few hundred bytes: the smallest region will do, also where /dev/shm is small.
            "--backend-config=python,shm-default-byte-size=1048576",
            "--backend-config=python,shm-growth-byte-size=1048576",
            "--model-control-mode=none",
            # Our configurations are complete; deriving them would start every model twice.
            "--disable-auto-complete-config",
            f"--grpc-address={HOST}",
            f"--grpc-port={self.ports.grpc}",
            f"--http-address={HOST}",
            f"--http-port={self.ports.http}",
            "--http-thread-count=1",
            f"--metrics-address={HOST}",
            f"--metrics-port={self.ports.metrics}",
            "--allow-gpu-metrics=false",
            f"--exit-timeout-secs={_GRACE_SECONDS}",
            "--log-format=ISO8601",
            *self._options,
        ]

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.ports.http}/v2/health/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _why_not_started(self) -> str:
        text = self._log()
        taken = re.search(r"Socket '[\d.]+:(\d+)' already in use", text)
        if taken:
            flags = {getattr(self.ports, entry.name): entry.metadata["flag"] for entry in fields(self.ports)}
            flag = flags.get(int(taken[1]), "its flag")
            return (
                f"port {taken[1]} on {HOST} is in use by another program; "
                f"stop that program or choose another port with {flag}."
            )
        failed = _failed_models(text)
        if failed:
            first, why = next(iter(failed.items()))
            return f"the model {first!r} did not load ({why}); the whole log is {self.log_path}."
        return f"the model server did not start; look at its log {self.log_path}, which ends with: {self._log_end()}"

    def _log(self) -> str:
        try:
            return self.log_path.read_text(errors="replace")
        except OSError:
            return ""

    def _log_end(self) -> str:
        lines = [line.strip() for line in self._log().splitlines() if line.strip() and line[0] not in "+|"]
        return " / ".join(lines[-_LOG_LINES:]) or "(nothing)"


def _failed_models(log: str) -> dict[str, str]:
    """Model -> reason, of those that Triton's log says it could not load."""
    found: dict[str, str] = {}
    for name, reason in re.findall(r'"?failed to load \'([\w-]+)\' version \d+: (.*)', log):
        found.setdefault(name, reason.split(r"\n")[0].strip('"').removeprefix("Internal: "))
    return found
