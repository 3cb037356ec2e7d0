"""Tokens of somebody else's sign-in: only those that are signed, for us, in time, and of a tenant."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sys
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

sys.path.insert(0, str(Path(__file__).parent))

from makers import Authority, private_pem, public_pem, token

from orchestrator.access.keys import REFUSED
from orchestrator.access.settings import JwtSettings
from orchestrator.access.tokens import Tokens
from services.errors import BadOption, PermissionDenied, Unauthenticated

ED = Ed25519PrivateKey.generate()
EC = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
KEYS = {"EdDSA": ED, "ES256": EC, "RS256": RSA}


def settings(path: Path, **others: str) -> JwtSettings:
    return JwtSettings(path, **{"issuer": "https://sign-in.test", "audience": "omnimatte", **others})


def jwk(key: Any, kid: str, algorithm: str) -> dict[str, Any]:
    made = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    return {**made, "kid": kid, "use": "sig"}


@pytest.fixture
def jwks(tmp_path: Path) -> Path:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [jwk(key, name, name) for name, key in KEYS.items()]}))
    return path


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    path = tmp_path / "key.pem"
    path.write_bytes(public_pem(ED))
    return path


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_token_of_each_kind_is_believed(algorithm: str, jwks: Path, tmp_path: Path) -> None:
    good = token(KEYS[algorithm], algorithm=algorithm, kid=algorithm)
    assert Tokens(settings(jwks)).verify(good).tenant == "studio"
    alone = tmp_path / "alone.pem"
    alone.write_bytes(public_pem(KEYS[algorithm]))
    caller = Tokens(settings(alone)).verify(token(KEYS[algorithm], algorithm=algorithm))
    assert (caller.tenant, caller.name) == ("studio", "jwt:alice")


def test_the_claim_of_the_tenant_can_have_another_name(pem: Path) -> None:
    named = Tokens(settings(pem, tenant_claim="org"))
    assert named.verify(token(ED, org="Org_2abC")).tenant == "Org_2abC"


def unsigned(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, None, algorithm="none")


def signed_with_the_public_key() -> str:
    """What a verifier takes that believes a token's word for its algorithm."""

    def part(value: dict[str, Any]) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    claims = jwt.decode(token(ED), options={"verify_signature": False})
    body = part({"alg": "HS256", "typ": "JWT"}) + b"." + part(claims)
    signature = hmac.new(public_pem(ED), body, hashlib.sha256).digest()
    return (body + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def bad_tokens() -> dict[str, str]:
    good = token(ED)
    claims = jwt.decode(good, options={"verify_signature": False})
    head, body, signature = good.split(".")
    return {
        "expired": token(ED, exp=time.time() - 60),
        "without an end": token(ED, exp=None),
        "not yet": token(ED, nbf=time.time() + 600),
        "other issuer": token(ED, iss="https://elsewhere.test"),
        "no issuer": token(ED, iss=None),
        "other audience": token(ED, aud="mail"),
        "no audience": token(ED, aud=None),
        "other key": token(Ed25519PrivateKey.generate()),
        "other kind of key": token(RSA, algorithm="RS256"),
        "unsigned": unsigned(claims),
        "signed with the public key": signed_with_the_public_key(),
        "changed": f"{head}.{body[:-3]}AAA.{signature}",
        "cut": f"{head}.{body}",
        "words": "hello",
        "odd": "....",
        "not text": "\x00\udcff",
        "empty": "",
    }


@pytest.mark.parametrize("what", bad_tokens())
def test_a_bad_token_is_refused_in_the_same_words(what: str, pem: Path) -> None:
    with pytest.raises(Unauthenticated) as caught:
        Tokens(settings(pem)).verify(bad_tokens()[what])
    assert caught.value.message == REFUSED


@pytest.mark.parametrize("kid", [None, "RS256", "unknown"])
def test_a_token_must_name_the_key_that_signed_it(kid: str | None, jwks: Path) -> None:
    with pytest.raises(Unauthenticated):
        Tokens(settings(jwks)).verify(token(ED, kid=kid))


@pytest.mark.parametrize("tenant", [None, "", "../x", 7, ["studio"], "a" * 64])
def test_a_token_without_a_tenant_is_known_and_not_allowed(tenant: object, pem: Path) -> None:
    with pytest.raises(PermissionDenied, match="names no tenant"):
        Tokens(settings(pem)).verify(token(ED, tenant=tenant))


def test_keys_that_cannot_be_trusted_stop_the_server(tmp_path: Path) -> None:
    secret = {"kty": "oct", "k": base64.urlsafe_b64encode(b"s" * 32).decode(), "kid": "x"}
    twice = [jwk(ED, "x", "EdDSA"), jwk(EC, "x", "ES256")]
    private = jwt.get_algorithm_by_name("EdDSA").to_jwk(ED, as_dict=True)
    contents = [
        json.dumps({"keys": [secret]}).encode(),
        json.dumps({"keys": [private]}).encode(),
        json.dumps({"keys": twice}).encode(),
        json.dumps({"keys": []}).encode(),
        json.dumps({"kees": 1}).encode(),
        b'{"keys": [7]}',
        b"{",
        b"hello",
        private_pem(ED),
        public_pem(rsa.generate_private_key(65537, 1024)),
        public_pem(ec.generate_private_key(ec.SECP384R1())),
    ]
    for content in contents:
        (tmp_path / "keys").write_bytes(content)
        with pytest.raises(BadOption, match="keys"):
            Tokens(settings(tmp_path / "keys"))
    with pytest.raises(BadOption, match="cannot be read"):
        Tokens(settings(tmp_path / "nothing"))


def test_a_certificate_is_a_public_key_too(tmp_path: Path) -> None:
    pair = Authority(tmp_path, "ca").issue("signer")
    signed = token(pair.key.read_bytes(), algorithm="ES256")
    assert Tokens(settings(pair.certificate)).verify(signed).tenant == "studio"


@pytest.mark.parametrize("missing", ["issuer", "audience"])
def test_issuer_and_audience_must_be_said(missing: str, pem: Path) -> None:
    with pytest.raises(BadOption, match=missing):
        Tokens(settings(pem, **{missing: ""}))
