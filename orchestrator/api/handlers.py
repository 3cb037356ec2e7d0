"""What interceptors need to wrap a handler of any of gRPC's four kinds.

Must not know: why it is wrapped.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError

from services.errors import BadInput

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]


Parse = Callable[[bytes], Any]


@dataclass(frozen=True)
class Garbled:
    """Bytes in the place of a request that are no message of its kind."""

    why: str

    def error(self) -> BadInput:
        return BadInput(f"the request is no message of its kind ({self.why}); build it from omnimatte.proto.")


def parsed(parse: Parse | None) -> Parse | None:
    """What reads requests as `parse` does, and gives `Garbled` where that fails: gRPC itself would answer UNKNOWN, with
    its own words."""
    if parse is None:
        return None

    def read(data: bytes) -> Any:
        try:
            return parse(data)
        except DecodeError as error:
            return Garbled(str(error).rpartition(": ")[2])

    return read


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
    parse: Parse | None = None,
) -> Handler:
    """A handler of the same kind that calls `stream` if its answer is one, and `answer` otherwise; `parse` reads its
    requests, by default as they were read before."""
    make: Callable[..., Handler] = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[(handler.request_streaming, handler.response_streaming)]
    return make(
        stream if handler.response_streaming else answer,
        request_deserializer=parse or handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


def code_name(code: Any) -> str:
    """The name of a status code, which gRPC tells as its own kind or as a number."""
    for known in grpc.StatusCode:
        if code is known or code == known.value[0]:
            return known.name
    return "UNKNOWN"
