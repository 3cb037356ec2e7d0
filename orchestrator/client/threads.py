"""What keeps gRPC's own threads from doing harm to the blocking client.

Must not know: which call it is.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any

import grpc

from orchestrator.api import omnimatte_pb2 as pb


def received(call: Any) -> Iterator[Any]:
    """The messages of `call`, which a thread of its own receives.

    A Ctrl-C that strikes gRPC's code in the main thread can leave one of its locks held for ever, and with it the
    channel dead on which the job is to be cancelled. Raises grpc.RpcError.
    """
    messages: queue.SimpleQueue[tuple[Any, grpc.RpcError | None]] = queue.SimpleQueue()

    def receive() -> None:
        try:
            for message in call:
                messages.put((message, None))
            messages.put((None, None))
        except grpc.RpcError as error:
            messages.put((None, error))

    threading.Thread(target=receive, name="watch", daemon=True).start()
    try:
        while True:
            message, error = messages.get()
            if error is not None:
                raise error
            if message is None:
                return
            yield message
    finally:
        call.cancel()


class Guarded(Iterator[pb.UploadRequest]):
    """The requests of one call. When they fail, the call is cancelled and the problem kept: gRPC would swallow it."""

    def __init__(self, inner: Iterator[pb.UploadRequest]) -> None:
        self._inner = inner
        self._call: Any = None
        self._begun = threading.Event()
        self.problem: Exception | None = None

    def belongs_to(self, call: Any) -> None:
        self._call = call
        self._begun.set()

    def __next__(self) -> pb.UploadRequest:
        try:
            return next(self._inner)
        except StopIteration:
            raise
        except Exception as error:
            self.problem = error
            self._begun.wait()
            self._call.cancel()
            raise StopIteration from error
