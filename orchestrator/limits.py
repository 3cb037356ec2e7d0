"""What a server bears of its clients: bounds that no request can lift.

Must not know: how they are held (orchestrator/api/bounds.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What the server bears."""

    message_bytes: int = 4 * _MIB
    """Largest message that it takes. No message needs to be large: files travel in pieces."""

    metadata_bytes: int = 16 << 10
    """Most metadata of one call."""

    call_seconds: float = 120.0
    """Longest call with one answer, but for uploads and those that may have to read a clip first."""

    stream_seconds: float = 3600.0
    """Longest stream; the client comes back and goes on."""

    silence_seconds: float = 60.0
    """Longest wait for the next message of an upload."""

    calls: int = 2000
    """Calls under way at once, of all clients. More are refused, to be sent again."""

    def options(self) -> tuple[tuple[str, Any], ...]:
        """gRPC's own options that hold some of them."""
        return (
            # Two servers on one port would share the calls at random.
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", self.message_bytes),
            ("grpc.absolute_max_metadata_size", self.metadata_bytes),
            ("grpc.max_concurrent_streams", 1000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        )
