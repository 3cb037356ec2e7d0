"""Constant and variable frame rates, told apart from timestamps alone."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.video.timing import Timeline, measure

RATES = [Fraction(24), Fraction(25), Fraction(16), Fraction(30000, 1001), Fraction(24000, 1001), Fraction(60)]


@settings(max_examples=40)
@given(st.sampled_from(RATES), st.integers(2, 400), st.sampled_from([1000, 90000, 15360]), st.integers(-5000, 5000))
def test_a_constant_rate_is_found_through_the_rounding_of_the_container(rate, frames, ticks, start):
    pts = [start + round(i / rate * ticks) for i in range(frames)]
    timeline = measure(pts, time_base=Fraction(1, ticks), hints=[rate])
    assert timeline == Timeline(fps=rate)


def test_a_wrong_claim_is_corrected_by_the_timestamps():
    pts = [round(i * 1000 / 24) for i in range(50)]
    assert measure(pts, time_base=Fraction(1, 1000), hints=[Fraction(1000)]).fps == 24


@settings(max_examples=40)
@given(st.lists(st.integers(1, 2000), min_size=3, max_size=60), st.integers(0, 10_000))
def test_every_timestamp_of_a_variable_rate_is_kept(gaps, start):
    pts = [start]
    for gap in gaps:
        pts.append(pts[-1] + gap)
    timeline = measure(pts, time_base=Fraction(1, 1000), hints=[None])
    for index, value in enumerate(pts):
        assert abs(timeline.seconds(index) - Fraction(value - start, 1000)) <= Fraction(1, 1000)


@pytest.mark.parametrize("pts", [[None, None], [0, None, 2], [5, 5, 5], [3, 2, 1], []])
def test_unusable_timestamps_fall_back_to_the_claimed_rate(pts):
    assert measure(pts, time_base=Fraction(1, 1000), hints=[None, Fraction(12)]) == Timeline(fps=Fraction(12))


def test_a_single_frame_has_the_claimed_rate_or_25():
    assert measure([7], time_base=Fraction(1, 1000), hints=[Fraction(30)]).fps == 30
    assert measure([7], time_base=Fraction(1, 1000), hints=[None]).fps == 25


def test_a_timeline_survives_json():
    timeline = Timeline(Fraction(500, 21), Fraction(1, 1000), (0, 51, 102, 120))
    assert Timeline.from_json("500/21", timeline.to_json()) == timeline
    assert Timeline.from_json("24000/1001", None) == Timeline(Fraction(24000, 1001))
