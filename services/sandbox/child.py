"""The process behind a `Sandbox`: it imports the jobs once, and forks a confined process for every file.

    python -m services.sandbox.child <descriptor of the control socket> <module:function>...

It stays warm, has one thread, never reads an untrusted byte, and ends, with all its children, when the control socket
closes. A message on that socket is JSON {"job", "params", "allowance"} with descriptors: where to answer, where to
report how the child ended (closing the other end of that one kills the child), and the job's files.
Must not know: what a job does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any, BinaryIO, NoReturn

from services.errors import OmnimatteError, OutOfSpace, encode, from_exception
from services.sandbox.allowance import Allowance
from services.sandbox.confine import be_first_to_go, keep_only, lock
from services.sandbox.wire import Piece, send

Job = Callable[..., Iterator[Piece]]
"""`job(files, **params)`: reads the open files, and answers. It can open no other file: what it would import on the way
is imported before by a function `prepare()` of its module, if there is one."""

NO_MEMORY = 77
STATUS = struct.Struct("<i")
MAX_FILES = 8
MESSAGE_BYTES = 1 << 16
_TRACE_CHARACTERS = 8000


@dataclasses.dataclass(frozen=True)
class _Running:
    """A forked process: its pid, a descriptor that stands for it, and the socket that its end is reported on."""

    pid: int
    handle: int
    watch: int

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


class _Nursery:
    """Starts, ends and buries the forked processes."""

    def __init__(self, control: socket.socket, jobs: dict[str, Job]) -> None:
        self._control = control
        self._jobs = jobs
        self._running: list[_Running] = []

    def serve(self) -> None:
        """Until the control socket closes."""
        while True:
            poll = select.poll()
            poll.register(self._control, select.POLLIN)
            for one in self._running:
                poll.register(one.handle, select.POLLIN)
                poll.register(one.watch, select.POLLIN)
            ready = {descriptor for descriptor, _ in poll.poll()}
            for one in list(self._running):
                if one.watch in ready or one.handle in ready:
                    self._bury(one)
            if self._control.fileno() in ready and not self._accept():
                return

    def end(self) -> None:
        for one in list(self._running):
            self._bury(one)

    def _accept(self) -> bool:
        try:
            message, descriptors, _, _ = socket.recv_fds(self._control, MESSAGE_BYTES, 2 + MAX_FILES)
        except ConnectionError:
            return False
        if not message:
            return False
        request = json.loads(message)
        answers, watch, *files = descriptors
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _child(request, self._jobs, parent=parent, answers=answers, files=files)
        with contextlib.suppress(OSError):  # The child does the same; whoever comes first.
            os.setpgid(pid, pid)
        for descriptor in (answers, *files):
            os.close(descriptor)
        self._running.append(_Running(pid=pid, handle=os.pidfd_open(pid), watch=watch))
        return True

    def _bury(self, one: _Running) -> None:
        one.kill()  # If it has ended, what it may have forked.
        _, status = os.waitpid(one.pid, 0)
        self._running.remove(one)
        with contextlib.suppress(OSError):
            os.write(one.watch, STATUS.pack(os.waitstatus_to_exitcode(status)))
        os.close(one.watch)
        os.close(one.handle)


def _child(request: Any, jobs: dict[str, Job], *, parent: int, answers: int, files: list[int]) -> NoReturn:
    code = 1
    try:
        os.setpgid(0, 0)
        sys.meta_path.insert(0, _NothingMore())
        keep_only([answers, *files])
        be_first_to_go()
        lock(Allowance(**request["allowance"]), parent=parent)
        code = _answer(jobs[request["job"]], request["params"], answers, files)
    except MemoryError:
        code = NO_MEMORY
    finally:
        os._exit(code)


class _NothingMore:
    """An importer that refuses: what is not imported yet cannot be, and shall not look like a damaged file."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> NoReturn:
        raise ImportError(f"{name} was not imported ahead, and a confined process can open no file", name=name)


def _answer(job: Job, params: dict[str, Any], answers: int, files: Sequence[int]) -> int:
    """Run the job; returns the exit code."""
    opened: list[BinaryIO] = [_open(descriptor) for descriptor in files]
    with socket.socket(fileno=answers) as sock:
        try:
            for piece in job(opened, **params):
                send(sock, piece)
            for file in opened:
                file.flush()
            send(sock, Piece(kind="end"))
        except OmnimatteError as error:
            send(sock, Piece({"error": encode(error)}, kind="refused"))
        except MemoryError:
            return NO_MEMORY
        except ConnectionError:  # Nobody listens any more.
            return 0
        except Exception as error:
            known = from_exception(error, doing="reading the file")
            if isinstance(known, OutOfSpace):
                send(sock, Piece({"error": encode(known)}, kind="refused"))
                return 0
            send(sock, Piece({"trace": traceback.format_exc()[-_TRACE_CHARACTERS:]}, kind="failed"))
    return 0


def _open(descriptor: int) -> BinaryIO:
    writable = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR
    return os.fdopen(descriptor, "r+b" if writable else "rb")


def _load(name: str) -> Job:
    module_name, _, function = name.partition(":")
    module = import_module(module_name)
    if hasattr(module, "prepare"):
        module.prepare()
    job: Job = getattr(module, function)
    return job


def main(arguments: Sequence[str]) -> None:
    control = socket.socket(fileno=int(arguments[0]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the caller, which then closes the socket.
    nursery = _Nursery(control, {name: _load(name) for name in arguments[1:]})
    gc.freeze()  # Nothing of this is rubbish later; children share its pages.
    control.send(b".")  # Ready.
    try:
        nursery.serve()
    finally:
        nursery.end()


if __name__ == "__main__":
    main(sys.argv[1:])
