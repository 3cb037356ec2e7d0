"""The gate before the API: no handler runs before its caller is known, and what changes something is written down.

A gRPC server interceptor. It treats every method alike, also one that is added tomorrow: it is closed to strangers and
audited unless it is named here.
Must not know: what the methods do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

import grpc

from orchestrator.access.audit import Audit
from orchestrator.access.caller import LOCAL, Caller, calling
from orchestrator.access.keys import PREFIX, Keys
from orchestrator.access.tokens import Tokens
from orchestrator.api.handlers import behaviour, code_name, rebuilt
from orchestrator.api.status import abort
from services.errors import OmnimatteError, Unauthenticated, Unavailable, from_exception
from services.observe.about import about

_log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]
if TYPE_CHECKING:
    Details = grpc.HandlerCallDetails
    Handler = grpc.RpcMethodHandler[Any, Any]

_OPEN_SERVICE = "grpc.health.v1.Health"
"""Probes have no credentials, and learn nothing but "serving"."""

_READS = frozenset(
    {
        "EstimateJob",
        "GetJob",
        "GetUpload",
        "ListJobs",
        "PreviewMasks",
        "WatchJob",
        "Download",
        "ServerReflectionInfo",
    }
)
"""Calls that change nothing, and are not audited when they are let in."""


class Authenticator(Protocol):
    """Tells who sends a call."""

    async def __call__(self, token: str | None) -> Caller:
        """`token`: what the call carries after "Bearer", None if it carries nothing.

        Raises:
            Unauthenticated, PermissionDenied.
        """


async def everybody(token: str | None) -> Caller:
    """Lets all in as the local tenant."""
    return Caller(tenant=LOCAL, name=LOCAL)


class Known:
    """Lets in who has an API key or a token."""

    def __init__(self, *, keys: Keys | None, tokens: Tokens | None) -> None:
        self._keys = keys
        self._tokens = tokens

    async def __call__(self, token: str | None) -> Caller:
        if token is not None and token.startswith(PREFIX) and self._keys is not None:
            return await asyncio.to_thread(self._keys.verify, token)
        if token is not None and not token.startswith(PREFIX) and self._tokens is not None:
            return self._tokens.verify(token)
        raise Unauthenticated(
            "the call carries no credentials that this server takes; send the metadata `authorization: Bearer ...` "
            "with an API key or a token."
        )


class Gate(grpc.aio.ServerInterceptor):
    """Admits callers, and audits what they do."""

    def __init__(self, authenticate: Authenticator, audit: Audit) -> None:
        self._authenticate = authenticate
        self._audit = audit

    async def intercept_service(
        self, continuation: Callable[[Details], Awaitable[Handler | None]], handler_call_details: Details
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        service, _, method = handler_call_details.method.lstrip("/").partition("/")
        if handler is None or service == _OPEN_SERVICE:
            return handler
        return self._guarded(handler, method)

    def _guarded(self, handler: Handler, method: str) -> Handler:
        inner = behaviour(handler)

        async def answer(request: Any, context: Context) -> Any:
            caller = await self._admitted(context, method)
            call = _Call(self._audit, caller, context, method)
            with calling(caller), about(tenant=caller.tenant), call:
                call.concerns(request)
                answered = await inner(request, context)
                call.concerns(answered)
                return answered

        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            caller = await self._admitted(context, method)
            call = _Call(self._audit, caller, context, method)
            with calling(caller), about(tenant=caller.tenant), call:
                call.concerns(request)
                async for answered in inner(request, context):
                    yield answered

        return rebuilt(handler, answer=answer, stream=stream)

    async def _admitted(self, context: Context, method: str) -> Caller:
        try:
            return await self._authenticate(_bearer(context))
        except OmnimatteError as error:
            self._audit.record(None, call=method, subject="", outcome=error.status, peer=context.peer())
            await abort(context, error)
            raise
        except Exception as error:
            # Never its own words: they may hold what was looked for.
            _log.error("callers cannot be told apart: %s", type(error).__name__)
            await abort(context, Unavailable("callers cannot be told apart just now; try again."))
            raise


class _Call:
    """One call on its way to the audit log. `with` it around the handler."""

    def __init__(self, audit: Audit, caller: Caller, context: Context, method: str) -> None:
        self._audit = audit
        self._caller = caller
        self._context = context
        self._method = method
        self._subject = ""

    def concerns(self, message: object) -> None:
        """Take the name of what the call is about from its request or its answer, if it has one."""
        file = getattr(message, "file", None)
        self._subject = getattr(message, "name", "") or getattr(file, "digest", "") or self._subject

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if self._method not in _READS:
            self._audit.record(
                self._caller,
                call=self._method,
                subject=self._subject,
                outcome=self._outcome(error),
                peer=self._context.peer(),
            )

    def _outcome(self, error: BaseException | None) -> str:
        if error is None:
            return "OK"
        if isinstance(error, grpc.aio.AbortError):
            return code_name(self._context.code())
        if isinstance(error, asyncio.CancelledError):
            return "CANCELLED"
        return from_exception(error, doing=self._method).status


def _bearer(context: Context) -> str | None:
    """What follows "Bearer" in the one `authorization` of the call; None for anything else."""
    metadata = context.invocation_metadata() or ()
    values = [value for name, value in metadata if name == "authorization"]
    if len(values) != 1 or not isinstance(values[0], str):
        return None
    scheme, _, token = values[0].partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None
