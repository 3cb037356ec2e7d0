"""API keys: made once, shown once, kept as a digest.

    omni_<id>_<secret>

The id is public and finds the row; the secret is 256 random bits, so one round of SHA-256 keeps it as well as a slow
hash would, and nobody can tire the server out with guesses.
Must not know: how keys travel. Blocking: call it from a thread.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass

import sqlalchemy as sa

from orchestrator.access.caller import Caller, is_tenant
from orchestrator.schema import API_KEYS
from services.errors import BadOption, NotFound, Unauthenticated

PREFIX = "omni_"
REFUSED = (
    "the call's credentials are not valid; they may be unknown, expired or revoked. Ask the operator for new ones."
)
"""The one answer to whoever is refused: it does not tell whether a key exists."""

_FORM = re.compile(r"omni_(?P<id>[0-9a-f]{16})_(?P<secret>[A-Za-z0-9_-]{43})")
_DAY = 86_400.0


@dataclass(frozen=True)
class Key:
    """What is known of a key. Times are seconds since the epoch, 0 for never."""

    id: str
    tenant: str
    created: float
    expires: float
    revoked: float

    def valid(self, now: float) -> bool:
        return not self.revoked and (not self.expires or now < self.expires)


class Keys:
    """The API keys of a database."""

    def __init__(self, engine: sa.Engine) -> None:
        """`engine`: on a database with our tables, see orchestrator/schema.py."""
        self._engine = engine

    def create(self, *, tenant: str, days: float = 0.0) -> str:
        """A new key of the tenant, valid for `days`, for ever if that is 0. It can be read here and nowhere else.

        Raises:
            BadOption: `tenant` is no name of a tenant, or `days` is negative.
        """
        if not is_tenant(tenant):
            raise BadOption(
                f"{tenant!r} is no name of a tenant; give 1 to 63 letters, digits, dots, dashes and underscores, a "
                "letter or digit first."
            )
        if not 0.0 <= days < 100_000:
            raise BadOption(f"a key cannot be valid for {days:g} days; give 0 (for ever) or more.")
        now = time.time()
        identity, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        row = {
            "id": identity,
            "tenant": tenant,
            "digest": _digest(secret),
            "created": now,
            "expires": now + days * _DAY if days else None,
        }
        with self._engine.begin() as connection:
            connection.execute(API_KEYS.insert().values(row))
        return f"{PREFIX}{identity}_{secret}"

    def list(self, *, tenant: str = "") -> list[Key]:
        """All keys, or the tenant's, oldest first; also those that are valid no more."""
        query = API_KEYS.select().order_by(API_KEYS.c.created, API_KEYS.c.id)
        if tenant:
            query = query.where(API_KEYS.c.tenant == tenant)
        with self._engine.connect() as connection:
            return [_key(row) for row in connection.execute(query)]

    def revoke(self, identity: str) -> None:
        """The key is refused from its next call on. Raises NotFound."""
        # Somebody may give the whole key; what is not its id must not be repeated in a message.
        found = _FORM.fullmatch(identity)
        public = found["id"] if found else identity
        change = API_KEYS.update().where(API_KEYS.c.id == public)
        with self._engine.begin() as connection:
            changed = connection.execute(change.values(revoked=sa.func.coalesce(API_KEYS.c.revoked, time.time())))
        if changed.rowcount == 0:
            raise NotFound("there is no key with this id; `omnimatte keys list` shows the ids.")

    def verify(self, text: str) -> Caller:
        """Whose key `text` is. Raises Unauthenticated, with the same words whatever is wrong."""
        form = _FORM.fullmatch(text)
        if form is None:
            raise Unauthenticated(REFUSED)
        with self._engine.connect() as connection:
            row = connection.execute(API_KEYS.select().where(API_KEYS.c.id == form["id"])).one_or_none()
        # Compared in any case, so that an unknown id takes as long as a wrong secret.
        right = hmac.compare_digest(_digest(form["secret"]), _digest("") if row is None else row.digest)
        if row is None or not right or not _key(row).valid(time.time()):
            raise Unauthenticated(REFUSED)
        return Caller(tenant=row.tenant, name=f"key:{row.id}")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _key(row: sa.Row[tuple[object, ...]]) -> Key:
    return Key(row.id, row.tenant, row.created, row.expires or 0.0, row.revoked or 0.0)
