"""The store shows whole artifacts or none."""

from pathlib import Path

import numpy as np
import pytest

from services.artifacts import Store, digest
from services.errors import NotFound

ADDRESS = digest("somewhere")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


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


def test_an_aborted_draft_leaves_nothing_behind(store: Store, tmp_path: Path) -> None:
    draft = store.draft(ADDRESS, stage="toy")
    draft.put("file", b"x" * 100)
    draft.array("frames", shape=(3, 2, 2, 3), dtype="float16")[:] = 1
    draft.abort()
    assert [p for p in (tmp_path / "store").rglob("*") if p.is_file()] == []


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
