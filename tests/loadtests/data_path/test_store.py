"""The measurement of the store covers every case and way, and leaves nothing behind."""

from pathlib import Path

import numpy as np
import pytest

from loadtests.data_path import clips, store
from loadtests.data_path.clips import Case
from loadtests.data_path.table import Seconds, markdown
from services.arrays import Content

MASKS = Case("masks", clips.discs(9, 40, 60, blur=0).astype(np.uint8), Content.COVERAGE)
NOISE = Case("noise", np.random.default_rng(0).integers(0, 256, (9, 40, 60, 3), np.uint8), Content.PIXELS)


def test_each_case_is_timed_in_every_way_as_often_as_asked(tmp_path: Path) -> None:
    rows = store.measured([MASKS, NOISE], tmp_path, repetitions=2)
    assert [row.name for row in rows] == ["masks", "noise"]
    for row in rows:
        assert set(row.seconds) == set(store.WAYS)
        assert all(len(seconds.times) == 2 and seconds.best > 0 for seconds in row.seconds.values())
    assert list(tmp_path.iterdir()) == []


def test_the_ratio_is_that_of_the_bytes_in_the_store(tmp_path: Path) -> None:
    masks, noise = store.measured([MASKS, NOISE], tmp_path, repetitions=1)
    assert masks.size / masks.stored > 5
    assert 0.9 < noise.size / noise.stored <= 1


def test_shares_are_of_the_raw_speed() -> None:
    seconds = {way: Seconds((2.0, 1.0, 4.0)) for way in store.WAYS} | {"raw write": Seconds((0.5, 3.0, 1.0))}
    row = store.Row(name="x", size=10**9, stored=10**8, chunk=2, seconds=seconds)
    assert row.speed("write") == pytest.approx(1)
    assert row.share("write") == pytest.approx(0.5)
    assert row.share("write", median=True) == pytest.approx(0.5)
    assert row.share("read two") == pytest.approx(1)
    assert "| x " in store.report([row])
    assert "10.00" in store.report([row])


def test_frames_are_repeated_to_the_size_asked_for() -> None:
    frames = np.arange(4, dtype=np.uint8).reshape(4, 1).repeat(10**5, axis=1)
    made = clips.repeated(frames, 1)
    assert made[:, 0].tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    assert clips.repeated(frames, 0).shape == (1, 10**5)


def test_the_bundled_clip_gives_every_kind_of_array() -> None:
    made = list(clips.cases(megabytes=7))
    assert {(case.frames.dtype.name, case.content) for case in made} == {
        ("uint8", Content.PIXELS),
        ("uint8", Content.COVERAGE),
        ("float16", Content.PIXELS),
        ("float16", Content.COVERAGE),
    }
    assert len({case.name for case in made}) == len(made)


def test_a_table_is_markdown() -> None:
    assert markdown(["a", "b"], [["long", "1"]]).splitlines() == ["| a    | b |", "| -----|-- |", "| long | 1 |"]
