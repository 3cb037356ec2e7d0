"""JSON Web Tokens of somebody else's sign-in: checked against its public keys, never made here.

Must not know: how tokens travel.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

from orchestrator.access.caller import Caller, is_tenant
from orchestrator.access.keys import REFUSED
from orchestrator.access.settings import JwtSettings
from services.errors import BadOption, PermissionDenied, Unauthenticated

_LEEWAY_SECONDS = 10
_MIN_RSA_BITS = 2048


@dataclass(frozen=True)
class _PublicKey:
    """`algorithm` belongs to the key: what a token says of its algorithm is not believed."""

    id: str
    algorithm: str
    key: Any


class Tokens:
    """Checks tokens."""

    def __init__(self, settings: JwtSettings) -> None:
        """Raises BadOption if the keys cannot be read or used, or no issuer or audience is given."""
        if not settings.issuer or not settings.audience:
            raise BadOption(
                "tokens need --jwt-issuer and --jwt-audience: without them any token of any service would do."
            )
        self._settings = settings
        self._keys = _read(settings)

    def verify(self, token: str) -> Caller:
        """Whose token it is.

        Raises:
            Unauthenticated: it is not signed by one of our keys, is for others, or out of its time.
            PermissionDenied: it is good, and names no tenant.
        """
        try:
            key = self._key(token)
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm],
                issuer=self._settings.issuer,
                audience=self._settings.audience,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise Unauthenticated(REFUSED) from error
        tenant = claims.get(self._settings.tenant_claim)
        if not isinstance(tenant, str) or not is_tenant(tenant):
            raise PermissionDenied(
                f"the token names no tenant in its claim {self._settings.tenant_claim!r}; ask the operator for one "
                "that does."
            )
        return Caller(tenant=tenant, name=f"jwt:{str(claims.get('sub', ''))[:128]}")

    def _key(self, token: str) -> _PublicKey:
        wanted = jwt.get_unverified_header(token).get("kid")
        found = [key for key in self._keys if wanted is None or not key.id or key.id == wanted]
        if len(found) != 1:
            raise jwt.InvalidTokenError
        return found[0]


def _read(settings: JwtSettings) -> list[_PublicKey]:
    path = settings.keys
    try:
        data = path.read_bytes()
        if data.lstrip().startswith(b"{"):
            keys = [_public(_jwk(item), item.get("kid", "")) for item in json.loads(data)["keys"]]
        else:
            keys = [_public(_pem(data), "")]
    except OSError as error:
        raise BadOption(
            f"the keys {path} cannot be read ({error.strerror}); give a JWKS file or a public key."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, UnsupportedAlgorithm, jwt.PyJWTError) as error:
        raise BadOption(
            f"{path} is no JWKS file and no public key that can be used here ({error}); give RSA of {_MIN_RSA_BITS} "
            "bits or more, P-256 or Ed25519 keys."
        ) from error
    if not keys or len({key.id for key in keys}) < len(keys):
        raise BadOption(f"{path} must hold one key, or several that differ in `kid`.")
    return keys


def _jwk(item: dict[str, Any]) -> Any:
    if item.get("kty") not in ("RSA", "EC", "OKP") or "d" in item:
        raise ValueError("a key in it is not a public one")
    return jwt.PyJWK(item).key


def _pem(data: bytes) -> Any:
    if b"BEGIN CERTIFICATE" in data:
        return load_pem_x509_certificate(data).public_key()
    return load_pem_public_key(data)


def _public(key: Any, identity: str) -> _PublicKey:
    if isinstance(key, RSAPublicKey) and key.key_size >= _MIN_RSA_BITS:
        return _PublicKey(identity, "RS256", key)
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return _PublicKey(identity, "ES256", key)
    if isinstance(key, Ed25519PublicKey):
        return _PublicKey(identity, "EdDSA", key)
    raise ValueError("a key of another kind or too short")
