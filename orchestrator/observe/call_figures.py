"""Figures about calls of the API.

Must not know: gRPC, or what the methods do.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 120, 600, 3600)


@dataclass
class Call:
    """A call under way; `code` is the name of the status that it ends with."""

    code: str = "OK"


class CallFigures:
    """How many calls there are, how they end, and how long they take."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter("omnimatte_api_calls", "Calls by how they ended.", ["method", "code"], registry=registry)
        self._seconds = Histogram(
            "omnimatte_api_seconds",
            "Time from a call to its end; a stream's is as long as its client listens.",
            ["method"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._in_flight = Gauge("omnimatte_api_in_flight", "Calls under way.", ["method"], registry=registry)

    @contextmanager
    def call(self, method: str) -> Iterator[Call]:
        """One call, for the length of the block; set the code of what is yielded before its end."""
        call, started = Call(), time.monotonic()
        self._in_flight.labels(method).inc()
        try:
            yield call
        finally:
            self._in_flight.labels(method).dec()
            self._seconds.labels(method).observe(time.monotonic() - started)
            self._calls.labels(method, call.code).inc()
