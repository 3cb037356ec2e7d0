"""Which frame of a layer is seen when."""

from hypothesis import given
from hypothesis import strategies as st

from services.compose.keyframes import Curve, Key
from services.compose.retime import EDGES, Retime, nearest

lengths = st.integers(1, 50)


@given(st.integers(0, 49), lengths)
def test_nothing_asked_changes_nothing(frame, frames):
    assert Retime().at(min(frame, frames - 1), frames=frames) == min(frame, frames - 1)


@given(
    frame=st.integers(0, 200),
    frames=lengths,
    offset=st.floats(-100, 100),
    speed=st.floats(0.01, 20),
    reverse=st.booleans(),
    edge=st.sampled_from(EDGES),
)
def test_what_is_seen_is_a_frame_of_the_layer(frame, frames, offset, speed, reverse, edge):
    time = Retime(offset=offset, speed=speed, reverse=reverse, edge=edge).at(frame, frames=frames)
    if time is None:
        assert edge == "hide"
    else:
        assert 0 <= time <= frames - 1 and 0 <= nearest(time) <= frames - 1


def times(retime: Retime, *, frames: int = 5, until: int = 9) -> list[float | None]:
    return [retime.at(frame, frames=frames) for frame in range(until)]


def test_offset_speed_reverse_freeze():
    assert times(Retime(offset=2), until=5) == [0, 0, 0, 1, 2]
    assert times(Retime(speed=0.5), until=5) == [0, 0.5, 1, 1.5, 2]
    assert times(Retime(reverse=True), until=5) == [4, 3, 2, 1, 0]
    assert times(Retime(freeze=3, offset=7), until=3) == [3, 3, 3]


def test_edges():
    assert times(Retime(offset=2, edge="hide")) == [None, None, 0, 1, 2, 3, 4, None, None]
    assert times(Retime(edge="loop")) == [0, 1, 2, 3, 4, 0, 1, 2, 3]
    assert times(Retime(edge="pingpong")) == [0, 1, 2, 3, 4, 3, 2, 1, 0]
    assert times(Retime(edge="pingpong"), frames=1, until=2) == [0, 0]
    assert times(Retime(speed=3))[:4] == [0, 3, 4, 4]


def test_a_map_is_a_curve_over_the_clips_frames():
    curve = Curve((Key(0, (4.0,)), Key(4, (0.0,)), Key(8, (2.0,))))
    assert times(Retime(map=curve)) == [4, 3, 2, 1, 0, 0.5, 1, 1.5, 2]
