"""The store shows whole artifacts or none."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import obstore
import pytest
from obstore.store import LocalStore, from_url

from services.artifacts import Store, digest
from services.errors import NotFound
from tests import s3

ADDRESS = digest("somewhere")


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    with s3.serving() as url:
        yield url


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """On a disk, and in a bucket of a server that speaks S3."""
    if request.param == "folder":
        return Store(str(tmp_path / "store"))
    url = request.getfixturevalue("s3_server")
    for name, value in s3.environment(url).items():
        monkeypatch.setenv(name, value)
    return Store(s3.new_bucket(url))


def objects(store: Store) -> list[str]:
    """Everything that is in the store."""
    backend = from_url(store.url) if "://" in store.url else LocalStore(store.url)
    return [entry["path"] for page in obstore.list(backend) for entry in page]


def test_an_artifact_is_invisible_until_it_is_committed(store: Store) -> None:
    draft = store.draft(ADDRESS, stage="toy")
    draft.put("a/b.txt", b"hello")
    draft.array("frames", shape=(5, 4, 6, 3), dtype="uint8")[:] = 7
    assert store.find(ADDRESS) is None
    with pytest.raises(NotFound):
        store.get(ADDRESS)
    draft.commit(request={}, meta={"frames": 5})
    found = store.get(ADDRESS)
    assert found.meta == {"frames": 5}
    assert found.read("a/b.txt") == b"hello"
    assert np.array_equal(found.array("frames")[1:3], np.full((2, 4, 6, 3), 7, np.uint8))


def test_an_aborted_draft_leaves_nothing_behind(store: Store) -> None:
    draft = store.draft(ADDRESS, stage="toy")
    draft.put("file", b"x" * 100)
    draft.array("frames", shape=(3, 2, 2, 3), dtype="float16")[:] = 1
    draft.abort()
    assert objects(store) == []


def test_two_workers_may_race_for_one_address(store: Store) -> None:
    first, second = store.draft(ADDRESS, stage="toy"), store.draft(ADDRESS, stage="toy")
    first.put("file", b"same")
    second.put("file", b"same")
    second.commit(request={}, meta={})
    first.commit(request={}, meta={})
    assert store.get(ADDRESS).read("file") == b"same"


def test_the_same_bytes_are_uploaded_once_and_keep_their_digest(store: Store) -> None:
    import hashlib

    data = [b"abc" * 1000, b"", b"def"]
    one = store.upload(iter(data), filename="clip.mp4")
    two = store.upload(iter([b"".join(data)]), filename="copy.mp4")
    assert one.address == two.address == hashlib.sha256(b"".join(data)).hexdigest()
    assert two.manifest.root == one.manifest.root
    assert one.read("data") == b"".join(data)


def test_an_empty_file_can_be_uploaded(store: Store) -> None:
    assert store.upload(iter([]), filename="empty").read("data") == b""


def test_large_files_stream_in_pieces_from_any_offset(store: Store) -> None:
    data = bytes(range(256)) * 10_000
    artifact = store.upload(iter([data]), filename="big")
    pieces = list(artifact.chunks("data", start=123))
    assert len(pieces) == 3
    assert b"".join(pieces) == data[123:]


def test_parts_of_an_artifact_are_read_by_address_and_name(store: Store) -> None:
    draft = store.draft(ADDRESS, stage="toy")
    for value, name in enumerate(("background", "vase")):
        draft.array(f"{name}/frames", shape=(2, 2, 2, 3), dtype="uint8")[:] = value
    draft.commit(request={}, meta={})
    assert np.asarray(store.get(f"{ADDRESS}/vase").array("frames")[:]).max() == 1
    with pytest.raises(NotFound, match="no array 'cup/frames'"):
        store.get(f"{ADDRESS}/cup").array("frames")


def test_a_checkpoint_stays_until_it_is_cleared(store: Store) -> None:
    checkpoint = store.checkpoint(ADDRESS)
    assert checkpoint.load() is None
    checkpoint.save(b"half")
    assert checkpoint.load() == b"half"
    checkpoint.clear()
    checkpoint.clear()
    assert checkpoint.load() is None


def test_deleting_removes_the_artifact_and_only_it(store: Store) -> None:
    keep = store.upload(iter([b"keep"]), filename="k")
    gone = store.upload(iter([b"gone"]), filename="g")
    store.delete(gone.address)
    store.delete(gone.address)
    assert store.find(gone.address) is None
    assert store.get(keep.address).read("data") == b"keep"


def test_digests_do_not_depend_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
