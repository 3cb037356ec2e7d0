"""The outermost interceptor of the gRPC server: counts and times every call, and begins the server's part of its trace.

It sees refusals too, as it stands before the gate. What gRPC itself refuses (too many calls at once) nobody sees here.
Must not know: what the methods do, or who calls.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
from opentelemetry.trace import SpanKind

from orchestrator.api.handlers import behaviour, code_name, rebuilt
from orchestrator.observe.call_figures import CallFigures
from services.observe import tracing

Context = grpc.aio.ServicerContext[Any, Any]
if TYPE_CHECKING:
    Details = grpc.HandlerCallDetails
    Handler = grpc.RpcMethodHandler[Any, Any]

_UNKNOWN = "(unknown)"
"""What a method that there is not is called: its name comes from a stranger."""

_UNTRACED = frozenset({"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"})
"""Probes come every few seconds, and say nothing."""


class ObservedCalls(grpc.aio.ServerInterceptor):
    """See above."""

    def __init__(self, figures: CallFigures) -> None:
        self._figures = figures

    async def intercept_service(
        self, continuation: Callable[[Details], Awaitable[Handler | None]], handler_call_details: Details
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        if handler is None:
            with self._figures.call(_UNKNOWN) as call:
                call.code = grpc.StatusCode.UNIMPLEMENTED.name
            return None
        return self._observed(handler, handler_call_details.method.lstrip("/"))

    def _observed(self, handler: Handler, path: str) -> Handler:
        inner = behaviour(handler)

        async def answer(request: Any, context: Context) -> Any:
            with self._seen(path, context):
                return await inner(request, context)

        async def stream(request: Any, context: Context) -> None:
            with self._seen(path, context):
                answers = inner(request, context)
                if inspect.isawaitable(answers):
                    await answers
                    return
                async for answered in answers:
                    await context.write(answered)

        return rebuilt(handler, answer=answer, stream=stream)

    @contextmanager
    def _seen(self, path: str, context: Context) -> Iterator[None]:
        service, _, method = path.rpartition("/")
        with self._figures.call(method) as call:
            if service in _UNTRACED:
                with _coded(call, context):
                    yield
                return
            attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
            with tracing.span(path, kind=SpanKind.SERVER, parent=_parent(context), attributes=attributes) as span:
                try:
                    with _coded(call, context):
                        yield
                finally:
                    span.set_attribute("rpc.grpc.status_code", grpc.StatusCode[call.code].value[0])


@contextmanager
def _coded(call: Any, context: Context) -> Iterator[None]:
    """Notes how the call ended."""
    try:
        yield
    except asyncio.CancelledError:
        call.code = grpc.StatusCode.CANCELLED.name
        raise
    except BaseException:
        # An abort has left its code there; any other exception is UNKNOWN to the client.
        code = context.code()
        call.code = code_name(code) if code else grpc.StatusCode.UNKNOWN.name
        raise
    call.code = code_name(context.code() or 0)


def _parent(context: Context) -> str:
    """The caller's `traceparent`, "" for none or more than one."""
    metadata = context.invocation_metadata() or ()
    found = [value for name, value in metadata if name == tracing.HEADER]
    return found[0] if len(found) == 1 and isinstance(found[0], str) else ""
