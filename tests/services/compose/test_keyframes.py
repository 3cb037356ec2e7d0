"""Curves go through their keys and nowhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.compose.keyframes import EASES, Curve, Key, constant

frames = st.lists(st.integers(0, 500), min_size=1, max_size=8, unique=True).map(sorted)


@st.composite
def curves(draw) -> Curve:
    return Curve(
        tuple(
            Key(frame, (draw(st.floats(-100, 100)), draw(st.floats(-100, 100))), draw(st.sampled_from(EASES)))
            for frame in draw(frames)
        )
    )


@given(curves())
def test_a_curve_has_its_keys_values_at_their_frames(curve):
    for key in curve.keys:
        assert curve.at(key.frame) == pytest.approx(key.value)


@given(curves(), st.floats(-10, 600))
def test_between_two_keys_it_stays_between_their_values(curve, frame):
    for axis, value in enumerate(curve.at(frame)):
        values = [key.value[axis] for key in curve.keys]
        assert min(values) - 1e-6 <= value <= max(values) + 1e-6


@given(curves())
def test_before_the_first_and_after_the_last_key_it_stays(curve):
    first, last = curve.span
    assert curve.at(first - 100) == curve.keys[0].value and curve.at(last + 100) == curve.keys[-1].value


def test_eases_differ_where_they_should():
    ways = {ease: Curve((Key(0, (0.0,), ease), Key(10, (1.0,)))) for ease in EASES}
    assert [ways[ease].at(2.5)[0] for ease in EASES] == pytest.approx([0.25, 0.15625, 0.0])
    assert all(way.at(10) == (1.0,) for way in ways.values())


def test_a_constant_is_the_same_always():
    assert constant(3, 4).at(-7) == constant(3, 4).at(99) == (3.0, 4.0)
    assert constant(1).always((1.0,)) and not Curve((Key(0, (1.0,)), Key(1, (2.0,)))).always((1.0,))
