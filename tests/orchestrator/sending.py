"""Uploads as raw messages, and ones that break; plain HTTP requests."""

from __future__ import annotations

import hashlib
import http.client
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from conftest import Caller

from orchestrator.api import omnimatte_pb2 as pb

DATA = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(DATA).hexdigest()


def messages(data: bytes, *, finish: bool = True, **first: Any) -> Iterator[pb.UploadRequest]:
    yield pb.UploadRequest(**first)
    for start in range(0, len(data), 50_000):
        yield pb.UploadRequest(chunk=data[start : start + 50_000])
    if finish:
        yield pb.UploadRequest(finish_write=True)


def start(call: Caller, data: bytes = DATA) -> pb.UploadSession:
    digest = hashlib.sha256(data).hexdigest()
    request = pb.StartUploadRequest(filename="clip.mp4", size_bytes=len(data), digest=digest)
    session: pb.UploadSession = call("StartUpload", request)
    return session


def broken(call: Caller, session: pb.UploadSession, data: bytes, offset: int) -> None:
    """A stream whose connection breaks after `data`."""
    gate = threading.Event()

    def sending() -> Iterator[pb.UploadRequest]:
        yield from messages(data, finish=False, upload=session.name, offset=offset)
        gate.wait(20)

    future = call.stub.Upload.future(sending())
    try:
        for _ in range(200):
            if arrived(call, session) >= offset + len(data) // 2:
                break
    finally:
        future.cancel()
        gate.set()


def arrived(call: Caller, session: pb.UploadSession) -> int:
    """Bytes that the server keeps, when it has taken in all of a stream that broke."""
    before = -1
    while (now := call("GetUpload", pb.GetUploadRequest(name=session.name)).received_bytes) != before:
        before = now
        time.sleep(0.1)
    return int(now)


def ask(url: str, *, method: str = "GET", **headers: str) -> tuple[int, bytes, dict[str, str]]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    try:
        connection.request(method, f"{parts.path}?{parts.query}", headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())
    finally:
        connection.close()
