"""What a process gives up before it looks at untrusted bytes. None of it can be taken back.

It may still compute, use the files that it was handed, and little else: with no file descriptor left to give out it
can open no file and no connection.
Must not know: what the process does.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal

from services.sandbox.allowance import Allowance

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_CAPABILITY_VERSION_3 = 0x20080522


def keep_only(descriptors: list[int]) -> None:
    """Close every file but `descriptors`; the three standard streams lead nowhere from now on."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
    low = 3
    for kept in [*sorted(descriptors), os.sysconf("SC_OPEN_MAX")]:
        os.closerange(low, kept)
        low = kept + 1


def be_first_to_go() -> None:
    """When the machine runs out of memory, the kernel shall take this process and not its parent."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def lock(allowance: Allowance, *, parent: int) -> None:
    """Set every limit, and die with the process `parent`. Files that are open stay usable; none can be opened."""
    libc = ctypes.CDLL(None, use_errno=True)
    _must(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _must(libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))  # No core file, and no debugger.
    for kind, value in {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_AS: allowance.memory,
        resource.RLIMIT_CPU: allowance.cpu_seconds,
        resource.RLIMIT_FSIZE: allowance.written,
        resource.RLIMIT_NOFILE: 0,
    }.items():
        _, hard = resource.getrlimit(kind)
        lowered = value if hard == resource.RLIM_INFINITY else min(value, hard)
        # At the soft limit of processor time comes a signal that says so, at the hard one SIGKILL.
        later = int(kind == resource.RLIMIT_CPU and lowered == value and hard != value)
        resource.setrlimit(kind, (lowered, lowered + later))
    _drop_capabilities(libc)
    # Last, because a change of rights takes it back. It fires when the *thread* that forked us ends; `parent` has one.
    _must(libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    if os.getppid() != parent:
        os._exit(1)


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    # In a container that runs as root these would let it raise its limits again.
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)  # Kernels before 4.3 have none.
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _must(libc.capset(header, (ctypes.c_uint32 * 6)()))


def _must(status: int) -> None:
    if status != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"the process could not be confined: {os.strerror(error)}")
