"""What can be set about who may call, and what a server refuses to start with.

Must not know: how any of it is done.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from services.errors import BadOption


@dataclass(frozen=True)
class JwtSettings:
    """Which JSON Web Tokens are believed."""

    keys: Path
    """Public keys of the issuer: a JWKS file, or one key as PEM. RSA of 2048 bits or more (RS256), P-256 (ES256) or
    Ed25519 (EdDSA). Read once, at the start."""

    issuer: str
    """What `iss` must say."""

    audience: str
    """What `aud` must say, or hold."""

    tenant_claim: str = "tenant"
    """The claim that names the tenant."""


@dataclass(frozen=True)
class TlsSettings:
    """The server's certificate. PEM files, read once, at the start."""

    certificate: Path
    """Its own certificate, then those up to its root."""

    key: Path
    """The certificate's private key, without a passphrase."""

    client_ca: Path | None = None
    """Only clients with a certificate that one of these signed may connect (mTLS). Beside API keys and tokens, not
    instead of them: a certificate names no tenant."""


@dataclass(frozen=True)
class Access:
    """Who may call. The default is for a server that only this machine can reach: everybody, as one tenant."""

    api_keys: bool = False
    """Calls with an API key of the database are answered, and those with none are not."""

    jwt: JwtSettings | None = None
    """Calls with such a token are answered, and those with none are not."""

    tls: TlsSettings | None = None
    """None: the API is served in the clear."""

    insecure: bool = False
    """Listen on other addresses than this machine's own without authentication all the same."""

    audit_log: str = ""
    """File that gets a line for each call that changes something; "-" is the standard error stream. Default: that
    stream where calls are authenticated, otherwise nowhere."""

    @property
    def authenticates(self) -> bool:
        return self.api_keys or self.jwt is not None

    @property
    def audit_target(self) -> str:
        return self.audit_log or ("-" if self.authenticates else "")

    def require_safe(self, host: str) -> None:
        """Raises BadOption where a server on `host` would serve strangers without asking who they are."""
        if not (self.authenticates or self.insecure or is_loopback(host)):
            raise BadOption(
                f"{host or 'every address'} can be reached from other machines, and nothing says who may call: add "
                "--api-keys or --jwt-keys (see docs/security.md), or --insecure to let everybody in."
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`, an address or a name without a port. What is not certain is not."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def endpoint(host: str, port: int) -> str:
    """HOST:PORT, also for IPv6."""
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
