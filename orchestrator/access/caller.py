"""Who is calling: a tenant, and a name for the audit log. The gate sets it for the length of a call.

Must not know: how callers prove who they are, or what a tenant owns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from services.errors import Unauthenticated

LOCAL = "local"
"""The one tenant of a server without authentication; what was made before there were tenants is its own."""

_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_CALLER: ContextVar[Caller] = ContextVar("omnimatte_caller")


@dataclass(frozen=True)
class Caller:
    """The sender of a call.

    Attributes:
        tenant: whose jobs and uploads it sees.
        name: who it is within the tenant, for the audit log: "key:5f0c..", "jwt:alice", "local". Never a secret.
    """

    tenant: str
    name: str


def is_tenant(text: str) -> bool:
    """Whether `text` may name a tenant: 1 to 63 letters, digits, dots, dashes and underscores."""
    return _TENANT.fullmatch(text) is not None


def current() -> Caller:
    """The caller of the call that is being answered. Raises Unauthenticated where the gate let nobody in."""
    try:
        return _CALLER.get()
    except LookupError:
        raise Unauthenticated("this call has no caller; send it through the server's API.") from None


@contextmanager
def calling(caller: Caller) -> Iterator[None]:
    """`current()` is `caller` for the length of the block, in this task and in the threads that it asks."""
    token = _CALLER.set(caller)
    try:
        yield
    finally:
        _CALLER.reset(token)
