"""A collector of traces: takes what OTLP exporters send over HTTP, and answers what it was told."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from loadtests.measure.spans import Span, receiving


class TraceCollector:
    """A context manager; give its `environment` to the processes whose spans it shall get."""

    def __init__(self) -> None:
        self._spans: list[Span] = []
        self._stack = contextlib.ExitStack()
        self._address = ""

    def __enter__(self) -> TraceCollector:
        self._address = self._stack.enter_context(receiving(self._spans.extend))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def environment(self) -> dict[str, str]:
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self._address, "OTEL_BSP_SCHEDULE_DELAY": "50"}

    @property
    def spans(self) -> list[Span]:
        return list(self._spans)

    def wait(self, enough: Callable[[list[Span]], bool], *, seconds: float = 20) -> list[Span]:
        """The spans as soon as they are enough."""
        until = time.monotonic() + seconds
        while not enough(self.spans):
            assert time.monotonic() < until, sorted(f"{span.service}: {span.name}" for span in self.spans)
            time.sleep(0.05)
        return self.spans
