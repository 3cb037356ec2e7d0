"""The artifact store: where every pixel lives between stages.

An artifact is a set of chunked arrays and files under one content address. Its data is written first, under a prefix
that belongs to one attempt; its manifest is written last, in one atomic put, and names that prefix. So "manifest
exists" means "done": readers never see a half-made artifact, two workers may race without harm, and a finished stage
is never computed twice. A folder and an S3-compatible bucket go through the same code (obstore).

    <root>/<aa>/<address>/manifest.json
    <root>/<aa>/<address>/<attempt>/<array>/...      Zarr v3
    <root>/<aa>/<address>/<attempt>/<file>
    <root>/<aa>/<address>/checkpoint                 only while it is being made

One artifact may hold several results of a kind as parts: `<address>/<part>` in place of an address means the arrays
below `<part>/`.

Must not know: what a stage does, or how it was reached. Importable without numpy and zarr by the control plane.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import obstore
from obstore.store import LocalStore, ObjectStore, from_url

from services.arrays import CODECS, Content, ZarrArray, chunk_frames
from services.errors import BadInput, BadOption, Internal, NotFound
from services.store_meter import Meter, MeteredArray

FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """What an artifact is and how it came to be.

    Attributes:
        address: content address, 64 hex digits.
        stage: the stage that made it ("upload" for a file that a user sent).
        root: prefix of its data within the store.
        request: the stage's version, params, inputs (name -> address) and weights digest: its whole provenance.
        meta: small JSON facts that the control plane may read (frame count, size, ...).
        files: plain files, path -> size in bytes.
        seconds: wall time of the attempt that made it.
        size: bytes of all its data, arrays included; None for an artifact from before sizes were noted.
    """

    address: str
    stage: str
    root: str
    request: Mapping[str, Any] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    format: int = FORMAT
    size: int | None = None


def canonical(value: object) -> bytes:
    """JSON of `value` in the one spelling that digests are taken of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(value: object) -> str:
    """SHA-256 of `canonical(value)`, 64 hex digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


class Artifact:
    """A finished artifact, or the part `part` of it, for reading."""

    def __init__(self, store: Store, manifest: Manifest, part: str = "") -> None:
        self._store = store
        self._part = part
        self.manifest = manifest

    @property
    def address(self) -> str:
        """Of the whole artifact."""
        return self.manifest.address

    @property
    def meta(self) -> Mapping[str, Any]:
        return self.manifest.meta

    def input(self, name: str) -> Artifact:
        """The artifact that this one was made from under the name `name`. Raises NotFound."""
        return self._store.get(self.manifest.request["inputs"][name])

    def array(self, name: str) -> ZarrArray:
        """The Zarr array `name`, read-only, `[T, ...]` chunked along time. Raises NotFound for a part without it."""
        path = f"{self._part}/{name}" if self._part else name
        try:
            return self._store.open_array(f"{self.manifest.root}/{path}")
        except FileNotFoundError as error:
            raise NotFound(f"artifact {self.address[:12]} has no array {path!r}; look at what made it.") from error

    def chunks(self, name: str, *, start: int = 0) -> Iterator[bytes]:
        """The bytes of file `name` from offset `start`, in pieces of about 1 MiB. Raises NotFound."""
        if name not in self.manifest.files:
            raise NotFound(f"artifact {self.address[:12]} has no file {name!r}; its files are listed in its manifest.")
        size = self.manifest.files[name]
        path = f"{self.manifest.root}/{name}"
        for offset in range(start, size, 1 << 20):
            yield bytes(self._store.get_range(path, offset, min(size, offset + (1 << 20))))

    def read(self, name: str) -> bytes:
        """All bytes of file `name`. Raises NotFound."""
        return b"".join(self.chunks(name))


class Draft:
    """An artifact in the making. Nothing of it is visible until `commit`; `abort` leaves nothing behind."""

    def __init__(self, store: Store, address: str, stage: str) -> None:
        self._store = store
        self._address = address
        self._stage = stage
        self._files: dict[str, int] = {}
        self.root = f"{store.prefix(address)}/{uuid.uuid4().hex}"

    def array(
        self,
        name: str,
        *,
        shape: tuple[int, ...],
        dtype: str,
        chunk: int | None = None,
        content: Content = Content.PIXELS,
    ) -> ZarrArray:
        """A new array `[T, ...]` for writing; `chunk` frames go into one chunk (default: about 16 MiB).

        Write whole chunks (see `array.chunks[0]`): a part of one is read back, changed and written again. `T` may be
        corrected afterwards with `array.resize`. `content` decides on the codec only.
        """
        path = f"{self.root}/{_relative(name)}"
        return self._store.create_array(path, shape=shape, dtype=dtype, chunk=chunk, content=content)

    def put(self, name: str, data: bytes | Path | Iterable[bytes]) -> int:
        """Write the file `name` (a relative path with forward slashes); returns its size in bytes."""
        path = f"{self.root}/{_relative(name)}"
        self._files[name] = self._store.put(path, data)
        return self._files[name]

    def commit(self, *, request: Mapping[str, Any], meta: Mapping[str, Any], seconds: float = 0.0) -> Artifact:
        """Publish the artifact: one atomic put of its manifest, after all its data."""
        manifest = Manifest(
            address=self._address,
            stage=self._stage,
            root=self.root,
            request=request,
            meta=meta,
            files=self._files,
            seconds=round(seconds, 3),
            size=sum(size for _, size, _ in self._store.listed(self.root)),
        )
        self._store.put(f"{self._store.prefix(self._address)}/manifest.json", canonical(asdict(manifest)))
        return Artifact(self._store, manifest)

    def abort(self) -> None:
        """Remove everything that was written."""
        self._store.remove(self.root)


class Checkpoint:
    """What an unfinished attempt at an artifact leaves for the next one: a blob beside the artifact-to-be.

    It is no part of the artifact, and goes when that is published. Two attempts at once overwrite each other's, which
    does no harm as long as any of them is a state to go on from.
    """

    def __init__(self, store: Store, address: str) -> None:
        self._store = store
        self._path = f"{store.prefix(address)}/checkpoint"

    def load(self) -> bytes | None:
        """What was saved last, or None."""
        return self._store.read(self._path)

    def save(self, data: bytes) -> None:
        self._store.put(self._path, data)

    def clear(self) -> None:
        self._store.remove_object(self._path)


class Store:
    """A content-addressed store over a folder or a bucket."""

    def __init__(self, url: str) -> None:
        """The store at `url`: a folder's path, file://..., or s3://bucket/prefix (credentials from the environment)."""
        self.url = url.rstrip("/")
        self._backend = _backend(self.url)
        self._meter: Meter | None = None

    def metered(self, meter: Meter) -> Store:
        """The same store; `meter` sums up what is read and written through it, and through what comes out of it."""
        same = copy.copy(self)
        same._meter = meter
        return same

    @staticmethod
    def prefix(address: str) -> str:
        return f"{address[:2]}/{address}"

    def find(self, address: str) -> Artifact | None:
        """The finished artifact at `address`, or None. Raises Internal if its manifest is damaged."""
        raw = self.read(f"{self.prefix(address)}/manifest.json")
        if raw is None:
            return None
        try:
            return Artifact(self, Manifest(**json.loads(raw)))
        except (ValueError, TypeError, RecursionError) as error:
            raise Internal(
                f"the manifest of artifact {address[:12]} is damaged; `omnimatte store fsck --repair` removes it."
            ) from error

    def get(self, address: str) -> Artifact:
        """The finished artifact at `address`, or its part at `<address>/<part>`. Raises NotFound."""
        whole, _, part = address.partition("/")
        found = self.find(whole)
        if found is None:
            raise NotFound(f"there is no artifact {whole[:12]} in the store; it was never made, or was removed.")
        return Artifact(self, found.manifest, _relative(part)) if part else found

    def draft(self, address: str, *, stage: str) -> Draft:
        """Begin the artifact `address`."""
        return Draft(self, address, stage)

    def checkpoint(self, address: str) -> Checkpoint:
        """The state of unfinished attempts at the artifact `address`."""
        return Checkpoint(self, address)

    def upload(self, data: Iterable[bytes], *, filename: str, expected: str = "") -> Artifact:
        """Store a user's file under the SHA-256 of its bytes; the same bytes are stored once.

        expected: that digest, where it is known. Raises BadInput if the bytes have another; nothing is stored then.
        """
        sha = hashlib.sha256()

        def hashed() -> Iterator[bytes]:
            for piece in data:
                sha.update(piece)
                yield piece

        # The address is known only after the last byte, so the bytes wait under a prefix of their own.
        staging = f"staging/{uuid.uuid4().hex}"
        try:
            size = self.put(staging, hashed())
            address = sha.hexdigest()
            if expected and address != expected:
                raise BadInput(
                    f"{filename or 'the upload'} arrived with the digest {address[:12]}, not {expected[:12]}; send it "
                    "again.",
                    field="digest",
                )
            existing = self.find(address)
            if existing is not None:
                return existing
            root = f"{self.prefix(address)}/{uuid.uuid4().hex}"
            obstore.copy(self._backend, staging, f"{root}/data")
        finally:
            self.remove_object(staging)
        manifest = Manifest(
            address=address, stage="upload", root=root, meta={"filename": filename}, files={"data": size}, size=size
        )
        self.put(f"{self.prefix(address)}/manifest.json", canonical(asdict(manifest)))
        return Artifact(self, manifest)

    def delete(self, address: str) -> None:
        """Remove an artifact: its manifest first, so that nobody finds it half gone."""
        self.remove_object(f"{self.prefix(address)}/manifest.json")
        self.remove(self.prefix(address))

    def put(self, path: str, data: bytes | Path | Iterable[bytes]) -> int:
        """Write one object atomically; returns its size."""
        if isinstance(data, bytes | Path):
            size = len(data) if isinstance(data, bytes) else data.stat().st_size
            with self._meter.writing(size) if self._meter else contextlib.nullcontext():
                obstore.put(self._backend, path, data)
            return size
        size = 0

        def counted() -> Iterator[bytes]:
            nonlocal size
            for piece in data:
                size += len(piece)
                yield piece

        obstore.put(self._backend, path, counted())
        return size

    def read(self, path: str) -> bytes | None:
        """The whole object `path`, or None."""
        try:
            return bytes(obstore.get(self._backend, path).bytes())
        except FileNotFoundError:
            return None

    def get_range(self, path: str, start: int, end: int) -> bytes:
        began = time.perf_counter()
        found = bytes(obstore.get_range(self._backend, path, start=start, end=end))
        if self._meter is not None:
            self._meter.read(time.perf_counter() - began, len(found))
        return found

    def signed(self, path: str, *, seconds: float) -> str:
        """An address from which anybody can fetch the object `path` until it expires. For a bucket only."""
        return str(obstore.sign(cast(Any, self._backend), "GET", path, timedelta(seconds=seconds)))

    def remove(self, prefix: str) -> None:
        """Delete everything below `prefix`; nothing there is no error."""
        for page in obstore.list(self._backend, prefix=prefix):
            try:
                obstore.delete(self._backend, [meta["path"] for meta in page])
            except FileNotFoundError:
                # Somebody else removes the same; what is left of the page may still be there.
                for meta in page:
                    self.remove_object(meta["path"])

    def remove_object(self, path: str) -> None:
        """Delete the one object `path`; nothing there is no error."""
        with contextlib.suppress(FileNotFoundError):
            obstore.delete(self._backend, path)

    def listed(self, prefix: str) -> Iterator[tuple[str, int, float]]:
        """(path, bytes, seconds since the epoch when it was written) of every object below the folder `prefix`."""
        for page in obstore.list(self._backend, prefix=prefix):
            for meta in page:
                yield meta["path"], meta["size"], meta["last_modified"].timestamp()

    def folders(self) -> list[str]:
        """Names of the top folders, sorted."""
        found = obstore.list_with_delimiter(self._backend)["common_prefixes"]
        return sorted(str(name).rstrip("/") for name in found)

    @property
    def folder(self) -> Path | None:
        """Where the store is on this machine; None for a bucket."""
        return _folder(self.url)

    def create_array(
        self, path: str, *, shape: tuple[int, ...], dtype: str, chunk: int | None, content: Content = Content.PIXELS
    ) -> ZarrArray:
        import numpy as np
        import zarr
        from zarr.storage import ObjectStore as ZarrStore

        frames = min(chunk, shape[0]) if chunk else chunk_frames(shape, itemsize=np.dtype(dtype).itemsize)
        # The array is the root of a store of its own: under a path, Zarr would litter the tree with implicit groups.
        made = zarr.create_array(
            ZarrStore(_backend(f"{self.url}/{path}")),
            shape=shape,
            chunks=(max(1, frames), *shape[1:]),
            dtype=dtype,
            compressors=CODECS[content],
            # Zarr's search for chunks of zeros, to leave them out, takes ten times as long as writing them.
            config={"write_empty_chunks": True},
        )
        return self._seen(made)

    def open_array(self, path: str) -> ZarrArray:
        import zarr
        from zarr.storage import ObjectStore as ZarrStore

        # Named, the format is not searched for: half a millisecond here, several requests of a bucket.
        store = ZarrStore(_backend(f"{self.url}/{path}"), read_only=True)
        return self._seen(zarr.open_array(store, mode="r", zarr_format=3))

    def _seen(self, array: ZarrArray) -> ZarrArray:
        return MeteredArray(array, self._meter) if self._meter is not None else array


def _relative(name: str) -> str:
    """`name` if it stays below the folder that it is in. Raises BadOption."""
    if not all(part.strip(".") for part in name.split("/")):
        raise BadOption(f"{name!r} is no name of an array or a file: it leads out of its artifact.")
    return name


def _folder(url: str) -> Path | None:
    local = "://" not in url or url.startswith("file://")
    return Path(url.removeprefix("file://")).absolute() if local else None


def _backend(url: str) -> ObjectStore:
    folder = _folder(url)
    if folder is not None:
        return LocalStore(folder, mkdir=True, automatic_cleanup=True)
    return from_url(url)
