"""What can be set about addresses that anybody can fetch a job's files from.

Must not know: how they are signed or served.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from orchestrator.access.settings import TlsSettings
from services.errors import BadOption


@dataclass(frozen=True)
class Signing:
    """How addresses are signed."""

    base_url: str = ""
    """Where browsers reach the file server, https://files.example.com; default: where it listens."""

    default_seconds: float = 900.0
    """How long an address is good whose ttl nobody says."""

    longest_seconds: float = 86_400.0
    """The longest ttl."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if self.base_url and (parts.scheme not in ("http", "https") or not parts.netloc or parts.query):
            raise BadOption(
                f"{self.base_url!r} is no address of a file server; write https://HOST or http://HOST:PORT."
            )


@dataclass(frozen=True)
class Files:
    """The server of signed addresses. A bucket serves its own; then none is needed."""

    host: str = "127.0.0.1"
    """Address that it listens on."""

    port: int | None = None
    """TCP port; 0 lets the system choose, None means no such server."""

    tls: TlsSettings | None = None
    """Its certificate; None: in the clear, for a proxy that has one."""

    signing: Signing = field(default_factory=Signing)
    """How long addresses are good, and how they begin."""
