"""Whom the present work is for: the ids that its log lines and traces carry.

A context variable: whatever is awaited or started inside has it too, and so do threads that copy their context.
Must not know: what the ids mean, or who reads them.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator, Mapping
from types import MappingProxyType

_about: contextvars.ContextVar[Mapping[str, str]] = contextvars.ContextVar("about", default=MappingProxyType({}))


def current() -> Mapping[str, str]:
    """Names of the ids and the ids: job, tenant, attempt, ..., as far as they are known."""
    return _about.get()


@contextlib.contextmanager
def about(**ids: str) -> Iterator[None]:
    """Inside, the work is for `ids`, and for those from outside that they do not replace."""
    token = _about.set(MappingProxyType({**_about.get(), **ids}))
    try:
        yield
    finally:
        _about.reset(token)
