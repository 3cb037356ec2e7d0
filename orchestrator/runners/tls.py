"""How an orchestrator and the model servers prove who they are to each other.

Must not know: who connects.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc

from services.errors import BadOption


@dataclass(frozen=True)
class ModelTls:
    """Mutual TLS to the model servers. PEM files, read once, at the start."""

    ca: Path
    """Their certificates' authority, and ours."""

    certificate: Path
    """What we show them."""

    key: Path
    """Its private key, without a passphrase."""

    name: str
    """The name in their certificates. Pods are reached by their addresses, which no certificate could list."""

    def credentials(self) -> grpc.ChannelCredentials:
        """Raises BadOption if a file cannot be read."""
        try:
            parts = [path.read_bytes() for path in (self.ca, self.key, self.certificate)]
        except OSError as error:
            raise BadOption(
                f"the certificate file {error.filename} for the model servers cannot be read ({error.strerror}); "
                "see models_tls."
            ) from error
        return grpc.ssl_channel_credentials(*parts)

    def options(self) -> list[tuple[str, str]]:
        """Of the channel, beside its credentials."""
        return [("grpc.ssl_target_name_override", self.name)]
