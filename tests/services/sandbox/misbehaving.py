"""Jobs that do what a file that takes its decoder over might have it do."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import signal
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np

from services.errors import BadVideo, Unauthenticated
from services.sandbox.wire import Piece


def echo(files: Sequence[BinaryIO], **params: Any) -> Iterator[Piece]:
    yield Piece({"params": params, "read": [file.read().decode() for file in files[:1]], "pid": os.getpid()})
    for dtype in ("uint8", "uint16"):
        yield Piece({"dtype": dtype}, np.arange(24, dtype=dtype).reshape(2, 3, 4))
    if len(files) > 1:
        files[1].write(b"written")


def crash(files: Sequence[BinaryIO]) -> Iterator[Piece]:
    yield Piece({"pid": os.getpid()})
    ctypes.string_at(0)


def abort(files: Sequence[BinaryIO]) -> Iterator[Piece]:
    os.abort()
    yield Piece()


def leave(files: Sequence[BinaryIO]) -> Iterator[Piece]:
    os._exit(3)
    yield Piece()


def kill(files: Sequence[BinaryIO]) -> Iterator[Piece]:
    os.kill(os.getpid(), signal.SIGKILL)
    yield Piece()


def loop(files: Sequence[BinaryIO]) -> Iterator[Piece]:
    yield Piece({"pid": os.getpid()})
    while True:
        pass


def stubborn(files: Sequence[BinaryIO]) -> Iterator[Piece]:
    """Has a child of its own, and neither wants to go."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = os.fork()
    if child:
        yield Piece({"pids": [os.getpid(), child]})
    while True:
        time.sleep(1)


def eat(files: Sequence[BinaryIO]) -> Iterator[Piece]:
    kept = []
    while True:
        kept.append(bytearray(16 << 20))
        yield Piece()


def eat_below(files: Sequence[BinaryIO]) -> Iterator[Piece]:
    """As a library in C does."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    while address := libc.malloc(ctypes.c_size_t(16 << 20)):
        ctypes.memset(address, 1, 1)
    yield Piece({"refused": True})
    mmap.mmap(-1, 64 << 20)


def flood(files: Sequence[BinaryIO]) -> Iterator[Piece]:
    while True:
        yield Piece({"more": "and more"})


def drip(files: Sequence[BinaryIO]) -> Iterator[Piece]:
    """An answer of which a byte comes now and then."""
    sock = _answers()
    sock.sendall(struct.pack("<I", 1000))
    while True:
        time.sleep(0.02)
        sock.sendall(b" ")
    yield Piece()


def too_large(files: Sequence[BinaryIO]) -> Iterator[Piece]:
    yield Piece(array=np.zeros((1, 3 << 20), np.uint8))


def raw(files: Sequence[BinaryIO], *, data: str) -> Iterator[Piece]:
    _answers().sendall(bytes.fromhex(data))
    time.sleep(30)
    yield Piece()


def refuse(files: Sequence[BinaryIO]) -> Iterator[Piece]:
    yield Piece()
    raise BadVideo("the clip is bad; send another.", field="video")


def blame(files: Sequence[BinaryIO]) -> Iterator[Piece]:
    yield Piece()
    raise Unauthenticated("who are you")


def stumble(files: Sequence[BinaryIO]) -> Iterator[Piece]:
    yield Piece()
    raise ZeroDivisionError("somewhere in a library")


def late_import(files: Sequence[BinaryIO]) -> Iterator[Piece]:
    import wave

    yield Piece({"name": wave.__name__})


def reach_out(files: Sequence[BinaryIO]) -> Iterator[Piece]:
    """What is still possible in here."""
    found: dict[str, str] = {}

    def attempt(name: str, action: Any) -> None:
        try:
            action()
            found[name] = "done"
        except (OSError, ValueError) as error:
            found[name] = type(error).__name__

    attempt("open", lambda: os.open("/etc/passwd", os.O_RDONLY))
    attempt("connect", lambda: socket.socket())
    attempt("raise", lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)))
    attempt("write", lambda: os.pwrite(files[0].fileno(), b"x", 1 << 20))
    yield Piece(
        {
            "found": found,
            "environment": sorted(os.environ),
            "descriptors": [number for number in range(64) if _is_open(number)],
            "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
        }
    )
    os._exit(0)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _answers() -> socket.socket:
    for number in range(3, 64):
        try:
            return socket.socket(fileno=os.dup2(number, number))
        except OSError:
            continue
    raise AssertionError("no socket")
