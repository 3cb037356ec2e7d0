"""Tiny entries, safetensors files without torch, and a real HTTP server with Range support that can misbehave."""

from __future__ import annotations

import hashlib
import json
import math
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from services.catalogue.entry import Entry, Licence, Origin, WeightFile
from services.catalogue.home import WeightsHome
from services.catalogue.layouts import Layout, _expected

FREE = Licence("Apache-2.0", "yes", "Any use.")
HUB = Origin("somebody/net", "main")
BODY = bytes(range(256)) * 12_000  # 3 MB: several blocks
DIGEST = hashlib.sha256(BODY).hexdigest()

NET = Entry(
    "net",
    "Net",
    "depth: net",
    FREE,
    (
        WeightFile("config.json", None, origin=HUB),
        WeightFile("unet/net.bin", len(BODY), size=len(BODY), sha256=DIGEST, origin=HUB, remote="net.bin"),
    ),
)
TINY_LAYOUT = Layout("cogvideox", width=8, hidden=32, layers=2)
CASPER = Entry(
    "casper-tiny",
    "Tiny Casper",
    "casper: tiny",
    FREE,
    (WeightFile("casper.safetensors", None, layout=TINY_LAYOUT),),
    given="its authors",
)


@dataclass
class Hub:
    """What the server offers, how it misbehaves, and what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    """Bytes after which the connection is cut, one per answer; then it behaves."""
    ranges: bool = True
    status: int = 0
    """If set, every answer has this status."""
    redirect: str = ""
    etag: str = '"one"'
    asked: list[tuple[str, str]] = field(default_factory=list)
    """(path, Range)."""
    tokens: list[str] = field(default_factory=list)
    base: str = ""


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub on 127.0.0.1 for the length of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(self, hub)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    hub.base = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(request: BaseHTTPRequestHandler, hub: Hub) -> None:
    wanted = request.headers.get("Range", "")
    hub.asked.append((request.path, wanted))
    hub.tokens.append(request.headers.get("Authorization", ""))
    body = hub.files.get(request.path)
    if hub.redirect:
        request.send_response(302)
        request.send_header("Location", hub.redirect + request.path)
        request.end_headers()
        return
    if hub.status or body is None:
        request.send_error(hub.status or 404)
        return
    start, status = 0, 200
    found = re.fullmatch(r"bytes=(\d+)-", wanted)
    if found and hub.ranges and request.headers.get("If-Range", hub.etag) == hub.etag:
        start, status = int(found[1]), 206
        if start >= len(body):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(body)}")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
    request.send_response(status)
    request.send_header("ETag", hub.etag)
    request.send_header("Content-Length", str(len(body) - start))
    if status == 206:
        request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
    request.end_headers()
    # Who was told that there is too much hangs up.
    with suppress(ConnectionError):
        request.wfile.write(body[start : start + hub.cuts.pop(0)] if hub.cuts else body[start:])


def offering(entry: Entry, contents: Mapping[str, bytes]) -> Hub:
    """A hub with the entry's files; `contents` by path in the entry."""
    files = {}
    for file in entry.files:
        assert file.origin is not None
        files["/" + file.origin.path(file.remote or file.path)] = contents[file.path]
    return Hub(files)


NET_CONTENTS = {"config.json": b'{"width": 8}', "unet/net.bin": BODY}


def accepted(home: WeightsHome, *entries: Entry) -> WeightsHome:
    for entry in entries:
        home.accept(entry, who="tester@here", when="2025-01-01T00:00:00+00:00", how="option")
    return home


def no_pause(_: float) -> None:
    """Waits for nothing between attempts."""


def shapes(layout: Layout = TINY_LAYOUT) -> dict[str, tuple[int, ...]]:
    return dict(_expected(layout))


def write_safetensors(path: Path, tensors: Mapping[str, tuple[int, ...]]) -> Path:
    """A file with zeros of one byte each."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in tensors.items():
        size = math.prod(shape)
        header[name] = {"dtype": "F8_E4M3", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    raw = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(end))
    return path
