"""Calls to the database that outlast its absence: while it restarts, a running job waits and does not fail.

Only for calls that may be made twice: the answer of the first may have been lost on its way.
Must not know: what the calls do.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import sqlalchemy as sa

from services.errors import Unavailable

_log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0)
_PATIENCE_SECONDS = 300.0


def away(error: BaseException) -> bool:
    """Whether `error` says that the database could not be reached, or broke off."""
    if isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError | sa.exc.TimeoutError):
        return True
    return isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated


def unavailable() -> Unavailable:
    """What a caller of the API is told about it. Not in the database's words: they may hold addresses and names."""
    return Unavailable("the orchestrator's database cannot be reached just now; send the request again.")


async def patiently(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`call` in a thread, again and again while the database is away. Raises what it raises otherwise."""
    until = time.monotonic() + _PATIENCE_SECONDS
    failures = 0
    while True:
        try:
            return await asyncio.to_thread(call, *args, **kwargs)
        except sa.exc.SQLAlchemyError as error:
            if not away(error) or time.monotonic() > until:
                raise
            if failures == 0:
                _log.warning("the database is away: %s", getattr(error, "orig", None) or error)
        await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
        failures += 1
