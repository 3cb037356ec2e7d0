"""What FFmpeg's decoder does not show of the alpha layer."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import BadVideo, Internal
from services.video import hevc_layers

# Parameter sets as x265 writes them for 256x128.
VPS = bytes.fromhex("40010c01ffff01600000030090000003000003003c928090")
SPS = bytes.fromhex("42010101600000030090000003000003003ca008080816592a4932b9a02000000300200000030321")
PPS = bytes.fromhex("4401c172b46240")
START = b"\0\0\0\1"
SETS = b"".join(START + unit for unit in (VPS, SPS, PPS))


def units(stream: bytes) -> list[bytes]:
    return [unit for unit in re.split(rb"\x00?\x00\x00\x01", stream) if unit]


def test_both_layers_have_the_same_sets_and_only_the_first_changes():
    found = units(hevc_layers.parameter_sets(SETS, SETS, width=256, height=128))
    assert found[1:] == [SPS, PPS] and found[0][:2] == VPS[:2] and found[0] != VPS
    # Two layers, where there was one; no byte of it looks like the beginning of another unit.
    assert (int.from_bytes(found[0][2:4]) >> 4 & 63, b"\0\0\1" in found[0]) == (1, False)


def test_sets_that_differ_are_refused():
    with pytest.raises(Internal, match="other parameter sets for alpha"):
        hevc_layers.parameter_sets(SETS, SETS[:-1] + b"\x41", width=256, height=128)


def pictures(count: int) -> st.SearchStrategy[bytes]:
    """Annex B: units of pictures, their content free of start codes."""
    content = st.binary(min_size=1, max_size=40).map(lambda data: b"\x26\x01" + data.replace(b"\0", b"\x55"))
    return st.lists(content, min_size=1, max_size=count).map(lambda found: b"".join(START + unit for unit in found))


@given(pictures(3), pictures(3), st.booleans())
def test_what_was_merged_is_separated_again(base, alpha, key):
    merged = units(hevc_layers.merged(base, alpha, key=key))
    assert any(unit[0] >> 1 == 39 for unit in merged) == key
    unit = b"".join(len(part).to_bytes(4) + part for part in merged)
    expected = [b"".join(len(part).to_bytes(4) + part for part in units(stream)) for stream in (base, alpha)]
    assert list(hevc_layers.separated(unit, "a")) == expected


@given(st.binary(max_size=80))
def test_anything_else_is_separated_or_refused(data):
    try:
        hevc_layers.separated(data, "layers/a.mov")
    except BadVideo as error:
        assert "layers/a.mov" in error.message
