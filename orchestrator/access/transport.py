"""The server's TLS: certificates from files, checked before anything listens.

Must not know: who calls.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import grpc

from orchestrator.access.settings import TlsSettings
from services.errors import BadOption


def server_credentials(settings: TlsSettings) -> grpc.ServerCredentials:
    """What a gRPC server listens with. Raises BadOption if a file cannot be read or the key is another one's."""
    certificate, key = _read(settings.certificate), _read(settings.key)
    client_ca = _read(settings.client_ca) if settings.client_ca is not None else None
    _check(settings)
    return grpc.ssl_server_credentials(
        [(key, certificate)], root_certificates=client_ca, require_client_auth=client_ca is not None
    )


def server_context(settings: TlsSettings) -> ssl.SSLContext:
    """What an HTTPS server listens with. Raises BadOption as `server_credentials`."""
    _check(settings)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.certificate, settings.key, password="")
    return context


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadOption(f"{path} cannot be read ({error.strerror}); give a PEM file.") from error


def _check(settings: TlsSettings) -> None:
    """gRPC itself would only refuse every connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without a password of our own, OpenSSL would ask for one on the terminal.
        context.load_cert_chain(settings.certificate, settings.key, password="")
    except (ssl.SSLError, ValueError) as error:
        raise BadOption(
            f"the certificate {settings.certificate} and the key {settings.key} cannot be used together ({error}); "
            "give PEM files that belong together, the key without a passphrase."
        ) from error
    if settings.client_ca is not None:
        try:
            context.load_verify_locations(settings.client_ca)
        except ssl.SSLError as error:
            raise BadOption(f"{settings.client_ca} holds no certificate ({error}); give a PEM file.") from error
