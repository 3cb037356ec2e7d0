"""What interceptors need to wrap a handler of any of gRPC's four kinds.

Must not know: why it is wrapped.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]


def behaviour(handler: Handler) -> Callable[[Any, Any], Any]:
    """The function of the handler."""
    # The types know the blocking server's handlers only.
    kinds: tuple[Any, ...] = (handler.unary_unary, handler.unary_stream, handler.stream_unary, handler.stream_stream)
    return next(kind for kind in kinds if kind is not None)


def rebuilt(
    handler: Handler,
    *,
    answer: Callable[[Any, Any], Awaitable[Any]],
    stream: Callable[[Any, Any], AsyncIterator[Any] | Awaitable[None]],
) -> Handler:
    """A handler of the same kind that calls `stream` if its answer is one, and `answer` otherwise."""
    make: Callable[..., Handler] = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[(handler.request_streaming, handler.response_streaming)]
    return make(
        stream if handler.response_streaming else answer,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


def code_name(code: Any) -> str:
    """The name of a status code, which gRPC tells as its own kind or as a number."""
    for known in grpc.StatusCode:
        if code is known or code == known.value[0]:
            return known.name
    return "UNKNOWN"
