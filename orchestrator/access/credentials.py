"""The client's half: what it shows a server, and what it believes one by.

Must not know: what is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from orchestrator.access.settings import is_loopback
from services.errors import BadOption


@dataclass(frozen=True)
class Credentials:
    """What a client connects with.

    Attributes:
        token: API key or JSON Web Token; "" for none. Not shown by `repr`.
        tls: whether to connect by TLS.
        ca: PEM certificates that the server's must come from; None: the well-known ones.
        certificate, key: PEM of the client's own, for mTLS; None for none.
    """

    token: str = field(default="", repr=False)
    tls: bool = False
    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = field(default=None, repr=False)

    @classmethod
    def load(
        cls,
        *,
        ca: Path | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
        api_key_file: Path | None = None,
        token: str = "",
        tls: bool = False,
    ) -> Credentials:
        """From files; any of the three for TLS means TLS. `api_key_file` goes before `token`.

        Raises:
            BadOption: a file cannot be read, or only one of certificate and key is given.
        """
        if (certificate is None) != (key is None):
            raise BadOption("a client's certificate and its key belong together; give --cert and --key.")
        if api_key_file is not None:
            token = _read(api_key_file).decode("ascii", "replace")
        token = token.strip()
        if not token.isascii() or not token.isprintable() or " " in token:
            raise BadOption("the API key is not one: it holds spaces, line breaks or other characters; copy it again.")
        return cls(
            token=token,
            tls=tls or ca is not None or certificate is not None,
            ca=_read(ca) if ca else None,
            certificate=_read(certificate) if certificate else None,
            key=_read(key) if key else None,
        )

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """To be sent with each call."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()

    def channel(self, address: str, options: Sequence[tuple[str, Any]]) -> grpc.Channel:
        """A connection to HOST:PORT. Raises BadOption rather than send a token in the clear to another machine."""
        secured = self._secured(address)
        if secured is not None:
            return grpc.secure_channel(address, secured, options=options)
        return grpc.insecure_channel(address, options=options)

    def aio_channel(self, address: str, options: Sequence[tuple[str, Any]]) -> grpc.aio.Channel:
        """The same for asyncio."""
        secured = self._secured(address)
        if secured is not None:
            return grpc.aio.secure_channel(address, secured, options=options)
        return grpc.aio.insecure_channel(address, options=options)

    def _secured(self, address: str) -> grpc.ChannelCredentials | None:
        if self.tls:
            return grpc.ssl_channel_credentials(self.ca, self.key, self.certificate)
        if self.token and not is_loopback(address.rpartition(":")[0]):
            raise BadOption(
                f"the API key would travel to {address} in the clear; add --ca FILE with the server's authority, or "
                "--tls for a well-known one."
            )
        return None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadOption(f"{path} cannot be read ({error.strerror}); check the path.") from error
