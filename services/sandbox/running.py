"""The caller's side: hands a job and its files to a confined process, and reads what it answers.

Must not know: what a job does.
"""

from __future__ import annotations

import dataclasses
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal

import services
from services.errors import BadInput, BadOption, OutOfSpace, Unavailable, decode
from services.sandbox.allowance import Allowance
from services.sandbox.child import MESSAGE_BYTES, NO_MEMORY, STATUS
from services.sandbox.wire import Nonsense, Piece, receive

How = Literal["crashed", "killed", "memory", "slow", "nonsense", "failed"]

_TICK = 0.25
_GRACE = 5.0
_START_SECONDS = 120.0
_MESSAGE_CHARACTERS = 4000
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "LANG", "LC_ALL", "TZ")


class Broken(Exception):
    """A job came to a bad end.

    Attributes:
        how: "crashed" (a signal), "killed" (from outside; most likely the machine ran out of memory), "memory" (more
            than its allowance), "slow" (more time than its allowance), "nonsense" (answers that are none), "failed"
            (an exception that the job did not expect).
        detail: for a log: the signal, the limit, or the traceback.
    """

    def __init__(self, how: How, detail: str) -> None:
        super().__init__(f"{how}: {detail}")
        self.how: How = how
        self.detail = detail


class Sandbox:
    """Runs jobs in confined processes. It may be called from several threads.

    The warm process behind it is started by the first call, and ends with `close`, or with this object, or with the
    caller's process however that ends.
    """

    def __init__(self, jobs: Sequence[str], *, allowance: Allowance | None = None) -> None:
        """jobs: "module:function" of each generator that may be run; see `services.sandbox.child.Job`."""
        self._jobs = tuple(jobs)
        self.allowance = allowance or Allowance()
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._end: Callable[[], object] = lambda: None

    def run(
        self,
        job: str,
        files: Sequence[IO[bytes]],
        params: Mapping[str, Any],
        *,
        check: Callable[[], None] = lambda: None,
    ) -> Generator[Piece, None, None]:
        """What the job answers, as it comes. However this generator ends, the process is gone afterwards.

        files: open files that it may use, at most 8. params: JSON. check: called while waiting; may raise.
        Raises Broken, Unavailable, BadOption for too long params, what `check` raises, and the BadInput or OutOfSpace
        that the job raised.
        """
        allowance = self.allowance
        answers, theirs = socket.socketpair()
        watch, reported = socket.socketpair()
        with answers, watch:
            with theirs, reported:
                self._submit(job, params, [theirs.fileno(), reported.fileno(), *(file.fileno() for file in files)])
            patience = _Patience(answers, allowance, check)
            try:
                for _ in range(allowance.answers):
                    piece = receive(patience.read, array_bytes=allowance.array)
                    patience.answered()
                    if piece.kind == "piece":
                        yield piece
                    elif piece.kind == "end":
                        return
                    elif piece.kind == "refused":
                        raise _refusal(str(piece.facts.get("error")))
                    else:
                        raise Broken("failed", str(piece.facts.get("trace")))
                raise Broken("nonsense", f"more than {allowance.answers} answers")
            except Nonsense as error:
                raise Broken("nonsense", str(error)) from error
            except (EOFError, ConnectionError):
                raise self._verdict(watch) from None
            finally:
                _end_child(watch)

    def close(self) -> None:
        """End the warm process, and whatever still runs."""
        with self._lock:
            self._end()
            self._control = None

    def _submit(self, job: str, params: Mapping[str, Any], descriptors: Sequence[int]) -> None:
        request = {"job": job, "params": dict(params), "allowance": dataclasses.asdict(self.allowance)}
        message = json.dumps(request).encode()
        if len(message) > MESSAGE_BYTES:
            raise BadOption(f"{len(message)} bytes of names and options for one file are too many; use shorter names.")
        with self._lock:
            for attempt in range(2):
                if self._control is None:
                    self._start()
                assert self._control is not None
                try:
                    socket.send_fds(self._control, [message], descriptors)
                    return
                except ConnectionError as error:  # It is gone, by whatever hand.
                    self._end()
                    self._control = None
                    if attempt:
                        raise _no_process() from error

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [_interpreter(), "-P", "-m", "services.sandbox.child", str(theirs.fileno()), *self._jobs]
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, env=_environment(), pass_fds=[theirs.fileno()], cwd="/"
            )
        # Its start counts for no file, however busy the machine is.
        ours.settimeout(_START_SECONDS)
        try:
            ready = ours.recv(1)
        except OSError:
            ready = b""
        if not ready:
            _end_process(ours, process)
            raise _no_process()
        ours.settimeout(None)
        self._control = ours
        self._end = weakref.finalize(self, _end_process, ours, process)

    def _verdict(self, watch: socket.socket) -> Exception:
        """How the process ended that has stopped to answer."""
        code = _status(watch)
        if code is None:
            return _no_process()
        if code == NO_MEMORY:
            return Broken("memory", f"more than {self.allowance.memory} bytes")
        if code == -signal.SIGXCPU:
            return Broken("slow", f"more than {self.allowance.cpu_seconds} s of processor time")
        if code == -signal.SIGKILL:
            return Broken("killed", "SIGKILL")
        return Broken("crashed", signal.Signals(-code).name if code < 0 else f"exit status {code}")


class _Patience:
    """Reads from a socket, as long as the allowance says."""

    def __init__(self, sock: socket.socket, allowance: Allowance, check: Callable[[], None]) -> None:
        self._socket, self._allowance, self._check = sock, allowance, check
        self._silent = self._waited = 0.0
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def answered(self) -> None:
        """A whole answer has come."""
        self._silent = 0.0

    def read(self, memory: memoryview) -> None:
        """Fill `memory`. Raises EOFError, Broken("slow"), and what `check` raises."""
        while memory:
            self._wait()
            count = self._socket.recv_into(memory)
            if count == 0:
                raise EOFError
            memory = memory[count:]

    def _wait(self) -> None:
        while not self._poll.poll(0):
            self._check()
            began = time.monotonic()
            self._poll.poll(1000 * _TICK)
            spent = time.monotonic() - began
            self._silent += spent
            self._waited += spent
            if self._silent > self._allowance.silence:
                raise Broken("slow", f"no answer in {self._allowance.silence} s")
            if self._waited > self._allowance.waiting:
                raise Broken("slow", f"not done after {self._allowance.waiting} s")


def _status(watch: socket.socket) -> int | None:
    """The exit code that is reported on `watch`; None when nobody is there to report it."""
    watch.settimeout(_GRACE)
    try:
        raw = watch.recv(STATUS.size)
    except OSError:
        return None
    return int(STATUS.unpack(raw)[0]) if len(raw) == STATUS.size else None


def _end_child(watch: socket.socket) -> None:
    """Have the process killed, if it still runs, and wait until it is gone."""
    watch.shutdown(socket.SHUT_WR)
    while _status(watch) is not None:
        pass


def _end_process(control: socket.socket, process: subprocess.Popen[bytes]) -> None:
    control.close()
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _refusal(text: str) -> Exception:
    # A process that has been taken over may not blame the service, or make it try again for ever.
    error = decode(text[:_MESSAGE_CHARACTERS])
    if isinstance(error, BadInput | OutOfSpace):
        return error
    return Broken("nonsense", f"an error of class {type(error).__name__}")


def _no_process() -> Unavailable:
    return Unavailable(
        "the process that reads uploaded files is gone; look for its last words in the log and try again."
    )


def _environment() -> dict[str, str]:
    """No secret of the caller's, and the same modules."""
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    paths = [str(Path(services.__file__).parents[1]), *(path for path in sys.path if path)]
    # One thread, for forking; few arenas, which would each reserve address space.
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    return {**kept, **threads, "PYTHONPATH": os.pathsep.join(paths)}


def _interpreter() -> str:
    """A Python of this version; inside another program `sys.executable` may be that program."""
    if Path(sys.executable or "").name.startswith("python"):
        return sys.executable
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for prefix in (sys.prefix, sys.base_prefix):
        if (Path(prefix) / "bin" / name).is_file():
            return str(Path(prefix) / "bin" / name)
    return shutil.which(name) or "python3"
