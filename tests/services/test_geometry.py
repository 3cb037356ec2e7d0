"""Sizes stay within the networks' and the paper's limits for any clip."""

from hypothesis import given
from hypothesis import strategies as st

from services.geometry import base_size, working_size

sides = st.integers(2, 8192)


def test_the_papers_example() -> None:
    assert base_size(384, 640) == (128, 208)
    assert base_size(720, 1280) == (128, 224)
    assert base_size(1280, 720) == (224, 128)


@given(sides, sides)
def test_base_size_suits_the_network(height: int, width: int) -> None:
    h, w = base_size(height, width)
    assert min(h, w) == 128
    assert h % 16 == w % 16 == 0
    assert max(h, w) <= 448
    assert (h <= w) == (height <= width) or h == w


@given(sides, sides, st.integers(16, 4096))
def test_working_size_never_enlarges(height: int, width: int, long_side: int) -> None:
    h, w = working_size(height, width, long_side=long_side)
    assert h <= max(2, height) and w <= max(2, width)
    assert max(h, w) <= max(long_side + 1, 2)
