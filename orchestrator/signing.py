"""Addresses from which anybody can fetch a job's files until they expire.

A bucket signs them itself. For a folder the orchestrator's own file server does (orchestrator/file_server.py): the
address names job, file and end, and an HMAC-SHA256 over all three under a key that only the servers of one database
have.
Must not know: gRPC, or how files are served.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

import sqlalchemy as sa

from orchestrator.file_settings import Signing
from orchestrator.schema import SECRETS, inserted_or_kept
from services.artifacts import Artifact, Store
from services.errors import BadOption, Conflict, NotFound, PermissionDenied

_NAME = "files"


class Signer:
    """Signs and checks addresses."""

    def __init__(
        self, settings: Signing, *, store: Store, key: bytes, base_url: str, clock: Callable[[], float] = time.time
    ) -> None:
        """base_url: of the file server; "" if there is none."""
        self._settings = settings
        self._store = store
        self._key = key
        self._base = base_url.rstrip("/")
        self._clock = clock

    def ttl(self, asked: float) -> float:
        """Seconds that an address will be good; 0 asks for the default. Raises BadOption."""
        longest = self._settings.longest_seconds
        if not 0 <= asked <= longest:
            raise BadOption(f"ttl is {asked:g} s; give up to {longest:g} s, or nothing.", field="ttl")
        return asked or min(self._settings.default_seconds, longest)

    def sign(self, job: str, artifact: Artifact, path: str, *, ttl: float) -> str:
        """The address of the file `path` of the job's deliverables.

        Raises:
            Conflict: this server serves no such addresses.
        """
        if self._store.folder is None:
            return self._store.signed(f"{artifact.manifest.root}/{path}", seconds=ttl)
        if not self._base:
            raise Conflict("this server signs no addresses for files; fetch them with Download.")
        end = int(self._clock() + ttl)
        return f"{self._base}/files/{job}/{quote(path)}?expires={end}&signature={self._signature(job, path, end)}"

    def check(self, job: str, path: str, *, expires: str, signature: str) -> None:
        """Raises PermissionDenied unless the address is one that was signed, and has not expired."""
        good = expires.isascii() and expires.isdigit() and len(expires) <= 12
        # The signature first: who guesses does not learn what has expired.
        expected = self._signature(job, path, int(expires)) if good else ""
        if not good or not hmac.compare_digest(expected.encode(), signature.encode()):
            raise PermissionDenied("the address is not one that this server has signed; ask for a new one.")
        if int(expires) < self._clock():
            raise PermissionDenied("the address has expired; ask for a new one.")

    def _signature(self, job: str, path: str, end: int) -> str:
        return hmac.new(self._key, f"{job}\n{end}\n{path}".encode(), hashlib.sha256).hexdigest()


def signing_key(engine: sa.Engine) -> bytes:
    """The key of the database's servers, made by whoever comes first. Blocking."""
    with engine.begin() as connection:
        row = {"name": _NAME, "value": secrets.token_hex(32), "made": time.time()}
        connection.execute(inserted_or_kept(connection, SECRETS, row))
        found = connection.execute(sa.select(SECRETS.c.value).where(SECRETS.c.name == _NAME)).scalar_one()
    return bytes.fromhex(found)


@dataclass(frozen=True)
class Served:
    """What a signed address opens: the file `path` of `size` bytes in `artifact`."""

    artifact: Artifact
    path: str
    size: int


def served(artifact: Artifact | None, path: str) -> Served:
    """Raises NotFound for a file that is not there any more."""
    if artifact is None or path not in artifact.manifest.files:
        raise NotFound("the file is not kept any longer; create the job again.")
    return Served(artifact, path, artifact.manifest.files[path])
