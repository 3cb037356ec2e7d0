"""`omnimatte ui`: serves the page, on a running server or on a stack of its own.

Must not know: what is on the page.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.access.credentials import Credentials
from orchestrator.client import Client
from orchestrator.settings import Home
from services.errors import Unavailable
from ui.app import CSS, build, theme
from ui.handlers import Handlers

MAX_UPLOAD = "4gb"


@dataclass(frozen=True)
class Wish:
    """Where the page is served, and on what: `server` HOST:PORT, or "" for a stack of its own in `home`."""

    host: str
    port: int
    server: str
    credentials: Credentials
    home: Home


def serve(wish: Wish) -> int:
    """Serve the page until Ctrl-C; returns 0.

    Raises Unavailable if the port is taken or the server cannot be reached.
    """
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(_client(wish))
        address = stack.enter_context(serving(client, host=wish.host, port=wish.port))
        print(f"the page is at {address}; stop it with Ctrl-C", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
    return 0


@contextlib.contextmanager
def serving(client: Client, *, host: str, port: int) -> Iterator[str]:
    """The page on `client`'s server for the length of the block; gives its address. port 0: any free one."""
    with tempfile.TemporaryDirectory(prefix="omnimatte-ui-") as folder:
        root = Path(folder)
        page = build(Handlers(client, root))
        try:
            _, address, _ = page.queue(default_concurrency_limit=4).launch(
                server_name=host,
                server_port=port or None,
                prevent_thread_lock=True,
                quiet=True,
                share=False,
                footer_links=[],
                max_file_size=MAX_UPLOAD,
                allowed_paths=[folder],
                theme=theme(),
                css_paths=[CSS],
                ssr_mode=False,
                run_history=False,
                enable_monitoring=False,
            )
        except OSError as error:
            raise Unavailable(f"port {port} on {host} cannot be used; choose another with --port ({error}).") from error
        try:
            yield address.rstrip("/")
        finally:
            page.close()


@contextlib.contextmanager
def _client(wish: Wish) -> Iterator[Client]:
    if wish.server:
        with Client(wish.server, credentials=wish.credentials) as client:
            client.list()
            yield client
        return
    from orchestrator.embedded import BackgroundStack
    from services.profiles import configured

    print(f"starting the stack in {wish.home.path}", file=sys.stderr, flush=True)
    with BackgroundStack(wish.home, profile=configured().name) as stack, Client(stack.address) as client:
        yield client
