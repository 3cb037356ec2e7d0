"""How much a client may ask of the server at once, and for how long: bounds that no request can lift.

A gRPC server interceptor. What a stream loses by its bound a client takes up again: WatchJob by its sequence number, an
upload by its offset, Download file by file.
Must not know: what the methods do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc

from orchestrator.api.handlers import Garbled, behaviour, parsed, rebuilt
from orchestrator.api.status import abort
from orchestrator.limits import Limits
from services.errors import DeadlineExceeded, OmnimatteError, Unavailable

Context = grpc.aio.ServicerContext[Any, Any]
if TYPE_CHECKING:
    Details = grpc.HandlerCallDetails
    Handler = grpc.RpcMethodHandler[Any, Any]


_READ_CLIPS = frozenset({"EstimateJob", "PreviewMasks"})
"""Calls that may have to read a whole clip first: they have a stream's time."""


class Bounds(grpc.aio.ServerInterceptor):
    """Ends calls that take too long."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    async def intercept_service(
        self, continuation: Callable[[Details], Awaitable[Handler | None]], handler_call_details: Details
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method.rpartition("/")[2]
        return handler if handler is None else self._bounded(handler, long=method in _READ_CLIPS)

    def _bounded(self, handler: Handler, *, long: bool) -> Handler:
        inner = behaviour(handler)
        one = not (long or handler.request_streaming or handler.response_streaming)
        limit = self._limits.call_seconds if one else self._limits.stream_seconds

        async def within(work: Awaitable[Any], context: Context) -> Any:
            try:
                async with asyncio.timeout(limit) as bound:
                    return await work
            except TimeoutError:
                if not bound.expired():
                    raise
                await abort(context, _too_long(limit, stream=not one))

        async def heard(request: Any, context: Context) -> Any:
            if isinstance(request, Garbled):
                await abort(context, request.error())
            return self._heard(request) if handler.request_streaming else request

        async def answer(request: Any, context: Context) -> Any:
            return await within(inner(await heard(request, context), context), context)

        async def stream(request: Any, context: Context) -> None:
            taken = await heard(request, context)

            async def write() -> None:
                async for answered in inner(taken, context):
                    # Here and not in a generator: a client that reads nothing is bounded too.
                    await context.write(answered)

            await within(write(), context)

        return rebuilt(handler, answer=answer, stream=stream, parse=parsed(handler.request_deserializer))

    async def _heard(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """The requests, as long as the next one comes in time."""
        messages = aiter(requests)
        while True:
            try:
                message = await asyncio.wait_for(anext(messages), self._limits.silence_seconds)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise Unavailable(
                    f"nothing was sent for {self._limits.silence_seconds:g} s; go on where the upload was broken off."
                ) from None
            if isinstance(message, Garbled):
                raise message.error()
            yield message


def _too_long(limit: float, *, stream: bool) -> OmnimatteError:
    if stream:
        return Unavailable(f"the stream has lasted {limit:g} s, as long as it may; call again, and go on where it was.")
    return DeadlineExceeded(f"the call took longer than {limit:g} s; send it again later.")
