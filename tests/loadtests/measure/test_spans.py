"""Spans: what OpenTelemetry's own exporter sends is what is read."""

from __future__ import annotations

from pathlib import Path

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Status, StatusCode

from loadtests.measure.spans import collecting, read_spans


def test_what_an_exporter_sends_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    with collecting(path) as environment:
        provider = TracerProvider(resource=Resource.create({"service.name": "omnimatte-casper"}))
        endpoint = f"{environment['OTEL_EXPORTER_OTLP_ENDPOINT']}/v1/traces"
        provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
        tracer = provider.get_tracer("test")
        facts = {"omnimatte.job": "7", "seconds": 0.5}
        with (
            tracer.start_as_current_span("outer", attributes=facts),
            tracer.start_as_current_span("inner") as inner,
        ):
            inner.set_status(Status(StatusCode.ERROR))
        provider.shutdown()
    inner_span, outer_span = read_spans(path)
    assert (outer_span.name, outer_span.service, outer_span.parent) == ("outer", "omnimatte-casper", "")
    assert outer_span.attributes == {"omnimatte.job": "7", "seconds": 0.5}
    assert (inner_span.parent, inner_span.trace, inner_span.failed) == (outer_span.id, outer_span.trace, "failed")
    assert 0 <= inner_span.seconds <= outer_span.seconds


def test_a_run_without_traces_has_none(tmp_path: Path) -> None:
    assert read_spans(tmp_path / "none.jsonl") == []
