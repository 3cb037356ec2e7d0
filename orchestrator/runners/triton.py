"""Runs a stage on a Triton server, over one gRPC stream per request.

What waits, waits here: a semaphore per stage lets no more requests through than the server has instances of it. So the
orchestrator knows what is running, and can cancel what is not without having to dig in the server's queue.

Must not know: what a stage computes, and how the server came up.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import InferInput
from tritonclient.grpc import aio as triton
from tritonclient.utils import InferenceServerException

from orchestrator.runners.tls import ModelTls
from services.errors import Internal, OmnimatteError, Unavailable, decode
from services.stage import Progress, Request, Result, event_from_json

INSTANCES: Mapping[str, int] = MappingProxyType(
    {
        "ingest": 1,
        "sam2": 1,
        "preview": 1,
        "region": 1,
        "plate": 1,
        "casper": 2,
        "ssr": 2,
        "depth": 1,
        "omnimatte": 2,
        "finish": 1,
        "compose": 2,
    }
)
"""Instances of each stage in `model_repository/*/config.pbtxt`."""

_CHANNEL = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # otherwise a new channel inherits what an old one thinks of the address
]

_LOADING = ("has no available versions", "is not ready")
"""What a server answers that listens before its models are loaded."""


@dataclass
class _Connection:
    """What belongs to one event loop."""

    client: triton.InferenceServerClient
    slots: dict[str, asyncio.Semaphore] = field(default_factory=dict)


class TritonRunner:
    """A `Runner` on the Triton server at one address.

    May be used from several event loops (a workflow engine may have one of its own); each gets its connection, and the
    limits hold for each.
    """

    def __init__(
        self,
        address: str,
        *,
        limits: Mapping[str, int] = INSTANCES,
        log: Path | str | None = None,
        tls: ModelTls | None = None,
    ) -> None:
        """
        Args:
            address: HOST:PORT of the server's gRPC endpoint.
            limits: stage -> how many of its requests may be at the server at once; 1 for a stage that is not in it.
            log: where the server's log is, for messages.
            tls: how the server and we prove who we are; None: in the clear.
        Raises:
            BadOption: a certificate cannot be read.
        """
        self._address = address
        self._limits = dict(limits)
        self._credentials = tls.credentials() if tls is not None else None
        self._options = [*_CHANNEL, *(tls.options() if tls is not None else [])]
        self._log = f"look at its log {log}, " if log else ""
        self._connections: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Connection]
        self._connections = weakref.WeakKeyDictionary()

    async def run(self, request: Request, *, on_progress: Callable[[Progress], None]) -> Result:
        """See `Runner.run`."""
        connection = self._connection()
        if request.stage not in connection.slots:
            connection.slots[request.stage] = asyncio.Semaphore(self._limits.get(request.stage, 1))
        async with connection.slots[request.stage]:
            return await self._stream(connection, request, on_progress)

    async def close(self) -> None:
        """Close the connection of the running event loop."""
        connection = self._connections.pop(asyncio.get_running_loop(), None)
        if connection is not None:
            await connection.client.close()

    def _connection(self) -> _Connection:
        loop = asyncio.get_running_loop()
        if loop not in self._connections:
            self._connections[loop] = _Connection(self._connect())
        return self._connections[loop]

    def _connect(self) -> triton.InferenceServerClient:
        return triton.InferenceServerClient(self._address, creds=self._credentials, channel_args=self._options)

    async def _stream(
        self, connection: _Connection, request: Request, on_progress: Callable[[Progress], None]
    ) -> Result:
        client = connection.client
        call = client.stream_infer(_once({"model_name": request.stage, "inputs": [_input(request)]}))
        try:
            async for answer, error in call:
                if error is not None:
                    raise self._decoded(error, request)
                event = event_from_json(answer.as_numpy("event").tobytes().decode())
                if isinstance(event, Result):
                    return event
                on_progress(event)
        except grpc.RpcError as error:
            if connection.client is client:
                # The old channel would refuse for a while to try again; the server may be back before that.
                connection.client = self._connect()
            raise self._lost(error, request) from error
        finally:
            call.cancel()  # after the end it does nothing; before, it is what the stage sees as cancellation
        raise self._gone(request)

    def _decoded(self, error: InferenceServerException, request: Request) -> OmnimatteError:
        text = error.message()
        decoded = decode(text)
        if '"reason"' not in text and "not healthy" in text:
            return Unavailable(
                f"the model instance that ran {_name(request)} died, most likely for lack of memory; "
                f"{self._log}restart the server and send the job again."
            )
        if '"reason"' not in text and any(words in text for words in _LOADING):
            return Unavailable(
                f"the model server at {self._address} has not loaded the model of {_name(request)} yet; "
                f"{self._log}wait for it, or see why it cannot be loaded."
            )
        if isinstance(decoded, Internal) and decoded.message == text:
            return Internal(f"{_name(request)}: the model server answered {text!r}; {self._log}and report it.")
        return decoded

    def _lost(self, error: grpc.RpcError, request: Request) -> OmnimatteError:
        code = error.code() if isinstance(error, grpc.Call | grpc.aio.AioRpcError) else None
        if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, None):
            return self._gone(request)
        return Internal(f"{_name(request)}: the model server at {self._address} answered {code.name}: {error}")

    def _gone(self, request: Request) -> Unavailable:
        return Unavailable(
            f"the model server at {self._address} stopped answering while running {_name(request)}; "
            f"{self._log}restart it and send the job again."
        )


def _name(request: Request) -> str:
    return request.subject or request.stage


def _input(request: Request) -> InferInput:
    text = np.frombuffer(request.to_json().encode(), np.uint8)
    tensor = InferInput("request", [text.size], "UINT8")
    tensor.set_data_from_numpy(text)
    return tensor


async def _once(item: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    yield item
