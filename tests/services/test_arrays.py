"""Arrays are coded by what they hold, in equal chunks; what was written with another codec is still read."""

from pathlib import Path

import numpy as np
import pytest
import zarr
from obstore.store import LocalStore
from zarr.codecs import BloscCodec
from zarr.storage import ObjectStore

from services.arrays import Content, chunk_frames
from services.artifacts import Store


@pytest.mark.parametrize(
    ("shape", "itemsize", "frames"),
    [
        ((300, 1080, 1920, 3), 1, 2),
        ((300, 2160, 3840, 3), 1, 1),
        ((300, 1080, 1920, 3), 2, 1),
        ((48, 8, 8, 3), 1, 24),
        ((33, 8, 8, 3), 1, 17),
        ((5, 8, 8, 3), 1, 5),
        ((0, 8, 8, 3), 1, 1),
        ((3, 0, 8, 3), 1, 3),
        ((5,), 4, 5),
    ],
)
def test_chunks_are_equal_and_no_larger_than_a_stage_can_hold(
    shape: tuple[int, ...], itemsize: int, frames: int
) -> None:
    assert chunk_frames(shape, itemsize=itemsize) == frames


@pytest.mark.parametrize("content", Content)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
def test_every_content_comes_back_as_it_was_written(tmp_path: Path, content: Content, dtype: str) -> None:
    store = Store(str(tmp_path))
    frames = np.random.default_rng(0).integers(0, 255, (7, 6, 5, 3)).astype(dtype)
    store.create_array("a", shape=frames.shape, dtype=dtype, chunk=3, content=content)[:] = frames
    found = store.open_array("a")[:]
    assert found.dtype == frames.dtype
    assert np.array_equal(found, frames)


def test_coverage_takes_a_fraction_of_its_size(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    masks = np.zeros((4, 200, 300, 1), np.uint8)
    masks[:, 50:150, 100:200] = 255
    store.create_array("a", shape=masks.shape, dtype="uint8", chunk=None, content=Content.COVERAGE)[:] = masks
    assert sum(size for _, size, _ in store.listed("a")) < masks.nbytes / 20


def test_frames_of_zeros_come_back(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.create_array("a", shape=(4, 6, 5, 3), dtype="uint8", chunk=2)[:] = 0
    assert not np.asarray(store.open_array("a")[:]).any()


def test_an_array_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (7, 6, 5, 3), np.uint8)
    frames[2:4] = 0  # Such a chunk was left out.
    earlier = zarr.create_array(
        ObjectStore(LocalStore(tmp_path / "old", mkdir=True)),
        shape=frames.shape,
        chunks=(2, 6, 5, 3),
        dtype="uint8",
        compressors=BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle"),
    )
    earlier[:] = frames
    assert np.array_equal(Store(str(tmp_path)).open_array("old")[:], frames)
