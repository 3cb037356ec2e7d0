"""Runs one model server as a child process, and sees to it that nothing of it outlives whoever asked for it.

Triton starts a process per model instance. When Triton, or the process that started it, is killed outright, those would
stay behind with their memory, and so would the shared memory they talk through. This guard is their common parent:

    the standard input closes (a wish to stop, or the starter is dead)  -> the server is asked to end, then killed
    the server ends by itself                                           -> its leftovers are killed
    one of the server's model instances dies                            -> the server is ended too: it would report
                                                                           itself ready, and fail that instance's
                                                                           requests for ever (Triton since 24.06)
    the guard itself is killed                                          -> the kernel kills the server

Run as a script (`python -I -S triton_guard.py GRACE_SECONDS SHM_PREFIX COMMAND...`); prints the server's process id as
its only line, and ends with the server's exit status (128 + signal for a killed one), or with INSTANCE_DIED.
Must not know: Triton's options, and this project's other modules (it starts in milliseconds and stays small).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_POLL_SECONDS = 0.2
_CHECK_SECONDS = 1.5  # the caller of a dead instance is told after 1 s
INSTANCE_DIED = 75


def main(grace: float, shm_prefix: str, command: list[str]) -> int:
    """Run `command` until it ends or the standard input closes; returns its exit status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # only the pipe decides, so that the starter can end things in order
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    server = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=sys.stderr, preexec_fn=lambda: _in_child(libc.prctl)
    )
    print(server.pid, flush=True)
    died = False
    try:
        instances = _Instances(server.pid)
        while server.poll() is None and not died and not _closed(0, _POLL_SECONDS):
            died = instances.one_died()
        if server.poll() is None:
            server.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(grace)
    finally:
        _kill_group(server.pid)
        status = server.wait()
        _reap()
        _remove_shared_memory(shm_prefix)
    if died:
        return INSTANCE_DIED
    return status if status >= 0 else 128 - status


class _Instances:
    """Watches the server's child processes: a dead one that the server does not collect was not meant to die."""

    def __init__(self, server: int) -> None:
        self._server = server
        self._next_check = 0.0
        self._dead: set[str] = set()

    def one_died(self) -> bool:
        """True for a child that was found dead in two checks, so that its caller has heard of it by now."""
        now = time.monotonic()
        if now < self._next_check:
            return False
        self._next_check = now + _CHECK_SECONDS
        before, self._dead = self._dead, set(_zombies(self._server))
        return bool(before & self._dead)


def _zombies(parent: int) -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # "pid (name) state ppid ...", where the name may hold anything, parentheses included
            state, ppid = path.read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state == "Z" and int(ppid) == parent:
                yield path.parent.name


def _in_child(prctl: ctypes._NamedFuncPointer) -> None:
    os.setpgid(0, 0)
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _closed(fd: int, timeout: float) -> bool:
    ready, _, _ = select.select([fd], [], [], timeout)
    return bool(ready) and os.read(fd, 64) == b""


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _reap() -> None:
    """Collect the model instances, which became children of this process when the server ended."""
    deadline = time.monotonic() + 5
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.02)


def _remove_shared_memory(prefix: str) -> None:
    for path in Path("/dev/shm").glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            path.unlink()


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2], sys.argv[3:]))
