"""Frames reach the array in whole chunks, in whatever order they come."""

from pathlib import Path

import numpy as np
import pytest

from services.artifacts import Store
from services.chunk_writer import ChunkWriter


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1, 0], [3, 0, 6, 2, 5, 1, 4]])
def test_frames_may_come_in_any_order(tmp_path: Path, order: list[int]) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (7, 4, 5, 3), np.uint8)
    array = Store(str(tmp_path)).create_array("a", shape=frames.shape, dtype="uint8", chunk=3)
    writer = ChunkWriter(array)
    for t in order:
        writer.put(t, frames[t])
    assert np.array_equal(array[:], frames)


def test_a_frame_may_be_changed_after_it_was_put(tmp_path: Path) -> None:
    array = Store(str(tmp_path)).create_array("a", shape=(2, 2, 2, 3), dtype="float16", chunk=2)
    writer = ChunkWriter(array)
    frame = np.ones((2, 2, 3), np.float16)
    writer.put(0, frame)
    frame[:] = 2
    writer.put(1, frame)
    assert np.asarray(array[:])[:, 0, 0, 0].tolist() == [1, 2]


def test_only_whole_chunks_are_written() -> None:
    class Counted:
        chunks, shape, dtype = (2, 1), (3, 1), np.dtype("uint8")

        def __init__(self) -> None:
            self.written: list[tuple[int, int]] = []

        def __setitem__(self, key: slice, value: object) -> None:
            self.written.append((key.start, key.stop))

    array = Counted()
    writer = ChunkWriter(array)
    for t in (1, 2, 0):
        writer.put(t, np.zeros(1, np.uint8))
    assert array.written == [(2, 3), (0, 2)]
