"""Receives traces by OTLP over HTTP, as the processes of a stand send them, and keeps them in a file of JSON lines.

Must not know: what the spans mean.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class Span:
    """One span. Ids are hex; `parent` is "" for a root. Times are seconds since the epoch. failed: why, "" if it did
    not."""

    trace: str
    id: str
    parent: str
    name: str
    service: str
    start: float
    end: float
    attributes: dict[str, Any] = field(default_factory=dict)
    failed: str = ""

    @property
    def seconds(self) -> float:
        return self.end - self.start


@contextmanager
def receiving(take: Callable[[list[Span]], None]) -> Iterator[str]:
    """A collector on this machine for the length of the block, which yields its address; `take` is called in threads,
    one at a time."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            if not 0 < length <= _MOST_BYTES:
                self.send_error(413)
                return
            body = self.rfile.read(length)
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            with lock:
                take(list(_spans(ExportTraceServiceRequest.FromString(body))))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def collecting(path: Path) -> Iterator[dict[str, str]]:
    """A collector that writes to `path`; yields the environment that sends spans to it."""
    path.touch()

    def take(spans: list[Span]) -> None:
        with path.open("a") as file:
            file.writelines(f"{json.dumps(asdict(span))}\n" for span in spans)

    with receiving(take) as address:
        yield {"OTEL_EXPORTER_OTLP_ENDPOINT": address}


def read_spans(path: Path) -> list[Span]:
    """All of a file; [] if there is none."""
    if not path.exists():
        return []
    return [Span(**json.loads(line)) for line in path.read_text().splitlines()]


def _spans(request: Any) -> Iterator[Span]:
    for of_process in request.resource_spans:
        service = _values(of_process.resource.attributes).get("service.name", "")
        for of_scope in of_process.scope_spans:
            for one in of_scope.spans:
                yield Span(
                    trace=one.trace_id.hex(),
                    id=one.span_id.hex(),
                    parent=one.parent_span_id.hex(),
                    name=one.name,
                    service=service,
                    start=one.start_time_unix_nano / 1e9,
                    end=one.end_time_unix_nano / 1e9,
                    attributes=_values(one.attributes),
                    failed=(one.status.message or "failed") if one.status.code == 2 else "",
                )


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value") or "string_value") for one in attributes}
