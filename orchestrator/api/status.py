"""The errors of services/errors.py as gRPC statuses, and back.

An error travels as a google.rpc.Status: its code, its sentence, a google.rpc.ErrorInfo with its reason, and a
google.rpc.BadRequest when one field is to blame, a google.rpc.RetryInfo when there is a time to come back. So a client
in any language can read it, and ours raises the same class.
Must not know: which call failed.
"""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from services.errors import (
    Busy,
    Cancelled,
    Internal,
    NotFound,
    OmnimatteError,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
    tree,
)

DOMAIN = "omnimatte"


def to_status(error: OmnimatteError) -> status_pb2.Status:
    """`error` as it travels."""
    info = error_details_pb2.ErrorInfo(
        reason=error.reason, domain=DOMAIN, metadata={"retryable": str(error.retryable).lower()}
    )
    details = [_packed(info)]
    if error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=error.message)
        details.append(_packed(error_details_pb2.BadRequest(field_violations=[violation])))
    if error.retry_after:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(round(error.retry_after * 1e9))
        details.append(_packed(retry))
    return status_pb2.Status(code=code_pb2.Code.Value(error.status), message=error.message, details=details)


def from_status(status: status_pb2.Status) -> OmnimatteError:
    """The error that `to_status` was given; for a status without our details, the class that its code means."""
    cls, field, retry_after = _by_code(status.code), "", 0.0
    for detail in status.details:
        info, request, retry = (
            error_details_pb2.ErrorInfo(),
            error_details_pb2.BadRequest(),
            error_details_pb2.RetryInfo(),
        )
        if detail.Unpack(info) and info.domain == DOMAIN:
            cls = tree().get(info.reason, cls)
        elif detail.Unpack(request) and request.field_violations:
            field = request.field_violations[0].field
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.ToNanoseconds() / 1e9
    return cls(status.message, field=field, retry_after=retry_after)


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: OmnimatteError) -> None:
    """End the call of `context` with `error`. Raises what grpc.aio ends calls with."""
    status = rpc_status.to_status(to_status(error))
    await context.abort(status.code, status.details or "", status.trailing_metadata or ())


def from_rpc(error: grpc.RpcError, *, address: str) -> OmnimatteError:
    """What a failed call to the server at `address` means to its caller."""
    # Both clients' errors are calls, though only the blocking one's says so.
    call: Any = error
    status = rpc_status.from_call(call)
    if status is not None:
        return from_status(status)
    code, details = call.code(), call.details() or ""
    # What asyncio's gRPC says of a connection that breaks while it sends.
    broken = code is grpc.StatusCode.INTERNAL and details == "Internal error from Core"
    if broken or code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return Unavailable(
            f"the omnimatte server at {address} does not answer ({details}); check the address, and that it is up."
        )
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return Unavailable(f"the server at {address} is no omnimatte server of this version ({details}).")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than" not in details:
        return Busy(f"the omnimatte server at {address} has too much to do just now ({details}); try again.")
    return _by_code(code.value[0])(f"the omnimatte server at {address} answered: {details}")


def _by_code(code: int) -> type[OmnimatteError]:
    return {
        code_pb2.NOT_FOUND: NotFound,
        code_pb2.CANCELLED: Cancelled,
        code_pb2.UNAVAILABLE: Unavailable,
        code_pb2.UNAUTHENTICATED: Unauthenticated,
        code_pb2.PERMISSION_DENIED: PermissionDenied,
    }.get(code_pb2.Code.ValueType(code), Internal)


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
