"""The pool that samples are drawn from, and the crops that are taken of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from training.data.crops import crop
from training.data.pool import Pool, reused


def test_a_pool_keeps_to_its_size_and_takes_in_what_is_new() -> None:
    pool: Pool[int] = Pool(np.random.default_rng(0), size=3)
    for item in range(50):
        pool.add(item)
    drawn = {pool.draw() for _ in range(100)}
    assert len(drawn) == 3
    assert max(drawn) > 3


def test_nothing_is_made_before_it_is_needed() -> None:
    made: list[int] = []

    def fresh() -> Iterator[tuple[int]]:
        for item in range(9):
            made.append(item)
            yield (item,)

    draws = reused(fresh(), np.random.default_rng(0), size=4, reuse=2)
    assert next(draws) == next(draws) == 0
    assert made == [0]
    next(draws)
    assert made == [0, 1]


def test_crops_are_taken_around_what_matters() -> None:
    rng, matters = np.random.default_rng(0), np.zeros((64, 96), bool)
    matters[40:44, 70:74] = True
    planes = {"there": matters[None], "colour": np.random.default_rng(1).random((3, 64, 96))}
    crops = [crop(planes, matters, rng, size=32, centred=1.0) for _ in range(20)]
    assert all(one["there"].any() for one in crops)
    assert {tuple(one["colour"].shape) for one in crops} == {(3, 32, 32)}


@pytest.mark.parametrize("seed", range(3))
def test_a_frame_smaller_than_the_crop_is_reflected(seed: int) -> None:
    plane = np.arange(6 * 20, dtype=np.float32).reshape(1, 6, 20)
    found = crop({"it": plane}, np.zeros((6, 20), bool), np.random.default_rng(seed), size=8, centred=0.9)["it"]
    assert found.shape == (1, 8, 8)
    assert (found[0, 6:] == found[0, 4:6].flip(0)).all()
