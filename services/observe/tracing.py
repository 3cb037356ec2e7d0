"""Traces by OpenTelemetry: spans for whoever does something, and the few characters that make them one trace.

Whoever owns a process calls `exporting` (or `start`); it does nothing unless OTEL_EXPORTER_OTLP_ENDPOINT is set, and
then the spans go there by OTLP over HTTP. Everybody else makes spans through the API, which costs next to nothing while
there is no exporter. Between processes travels the `traceparent` of W3C Trace Context.

Must not know: what is traced.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.errors import Cancelled, OmnimatteError
from services.observe.secrets import without_secrets

HEADER = "traceparent"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

_SEND_MILLISECONDS = 1000
"""How long spans wait for company; OTEL_BSP_SCHEDULE_DELAY says otherwise. What waits is lost when we are killed."""
_PATIENCE_SECONDS = 3.0
"""How long the collector may take; OTEL_EXPORTER_OTLP_TIMEOUT says otherwise."""

_log = logging.getLogger(__name__)
_propagator = TraceContextTextMapPropagator()
_tracer = trace.get_tracer("omnimatte")


def wanted() -> bool:
    """Whether the environment asks for traces."""
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none"
    return not off and any(os.environ.get(name) for name in ENDPOINTS)


def start(service: str, **attributes: str) -> Callable[[], None]:
    """Send this process's spans, if the environment asks for it; returns what sends the last ones and ends it.

    service: the process's name in the traces, unless OTEL_SERVICE_NAME gives one. attributes: more about it.
    """
    if not wanted():
        return lambda: None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        # A cluster may set the variable for every pod: no reason not to work.
        _log.warning("no traces are sent (%s); install omnimatte[tracing].", error)
        return lambda: None
    name = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: service}
    timeout = None if os.environ.get("OTEL_EXPORTER_OTLP_TIMEOUT") else _PATIENCE_SECONDS
    delay = None if os.environ.get("OTEL_BSP_SCHEDULE_DELAY") else _SEND_MILLISECONDS
    provider = TracerProvider(resource=Resource.create({**name, **attributes}))
    processor = BatchSpanProcessor(OTLPSpanExporter(timeout=timeout), schedule_delay_millis=delay)
    provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)
    return provider.shutdown


@contextlib.contextmanager
def exporting(service: str, **attributes: str) -> Iterator[None]:
    """`start`, for the length of the block."""
    stop = start(service, **attributes)
    try:
        yield
    finally:
        stop()


@contextlib.contextmanager
def span(
    name: str,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    parent: str | None = None,
    attributes: Mapping[str, str | int | float | bool] | None = None,
) -> Iterator[Span]:
    """A span for the length of the block, current inside of it; an error ends it as failed.

    parent: a `traceparent`, "" for none; None: the current span.
    """
    context = None if parent is None else _context(parent)
    opened = _tracer.start_as_current_span(
        name,
        context=context,
        kind=kind,
        attributes=attributes,
        # Ours below: an exception's own words may hold secrets.
        record_exception=False,
        set_status_on_exception=False,
    )
    with opened as current:
        try:
            yield current
        except (Cancelled, asyncio.CancelledError, GeneratorExit):
            # Somebody asked for it: no failure.
            current.set_attribute("omnimatte.cancelled", True)
            raise
        except BaseException as error:
            failed(current, error)
            raise


def past(name: str, *, began: float, ended: float) -> None:
    """A span of something that is over, under the current one. Seconds since the epoch."""
    _tracer.start_span(name, start_time=int(began * 1e9)).end(int(ended * 1e9))


def failed(span: Span, error: BaseException) -> None:
    """Say in `span` that it ended with `error`."""
    message = error.message if isinstance(error, OmnimatteError) else ""
    span.set_status(Status(StatusCode.ERROR, without_secrets(f"{type(error).__name__}: {message}".rstrip(": "))))


def headers() -> dict[str, str]:
    """What another process needs to go on with the current trace; nothing where there is none."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier


def traceparent() -> str:
    """The current span as W3C Trace Context writes it; "" where there is none."""
    return headers().get(HEADER, "")


def ids() -> dict[str, str]:
    """The current trace and span for a log line; nothing where there is none."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace": trace.format_trace_id(context.trace_id), "span": trace.format_span_id(context.span_id)}


def _context(traceparent: str) -> Context:
    """What a `traceparent` from outside says. One that is none begins a new trace."""
    return _propagator.extract({HEADER: traceparent} if traceparent else {}, context=Context())
