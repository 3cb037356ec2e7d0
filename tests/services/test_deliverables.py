"""Which formats go together, and what files are called: nothing meets, nothing leaves its folder."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.deliverables import FORMATS, PICTURES, PROJECTS, READS, Delivery, check_formats, delivery_of
from services.errors import BadOption
from services.finish.names import Kind, Names, channel_names

LABELS = st.lists(st.from_regex(r"[a-z0-9][a-z0-9_-]{0,9}", fullmatch=True), min_size=1, max_size=8, unique=True)
TEMPLATES = [
    "",
    "{layer}/{frame}",
    "{clip}/{layer}/{clip}_{layer}.{frame}",
    "{layer}.{frame}",
    "{clip}-{layer}_v1-{frame}",
]


@given(st.lists(st.sampled_from(FORMATS)))
def test_formats_are_taken_when_every_project_has_something_to_name(formats):
    good = any(name in PICTURES for name in formats) and all(
        any(one in formats for one in READS[name]) for name in formats if name in PROJECTS
    )
    if good:
        assert check_formats(formats) == tuple(name for name in FORMATS if name in formats)
    else:
        with pytest.raises(BadOption):
            check_formats(formats)


@given(LABELS, st.sampled_from(TEMPLATES), st.text(max_size=40), st.integers(0, 900_000))
def test_no_two_files_are_called_the_same_and_all_stay_inside(labels, template, clip, start):
    Delivery(name=template, start_frame=start)
    names = Names(clip, template, start)
    paths = [names.movie(kind, suffix="mov") for kind in (Kind.BACKGROUND, Kind.PREVIEW)]
    paths += [
        names.movie(kind, label, suffix="mov") for label in labels for kind in (Kind.LAYER, Kind.CHECKER, Kind.COLOR)
    ]
    sequences = [names.sequence(kind, suffix="png") for kind in (Kind.BACKGROUND, Kind.DEPTH, Kind.EVERYTHING)]
    sequences += [
        names.sequence(kind, label, suffix="png") for label in labels for kind in (Kind.LAYER, Kind.MASK, Kind.MATTE)
    ]
    assert all(pattern.count("%05d") == 1 and pattern.count("%") == 1 for pattern in sequences)
    paths += [names.at(pattern, index) for pattern in sequences for index in (0, 1, 77)]
    assert len(set(paths)) == len(paths)
    for path in paths:
        parts = PurePosixPath(path).parts
        assert not path.startswith("/") and ".." not in parts and all(part.strip(".") for part in parts)


@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=8, unique=True))
def test_layers_of_an_exr_are_identifiers_and_differ(labels):
    found = channel_names(labels)
    assert list(found) == labels and len({name.lower() for name in found.values()}) == len(labels)
    assert all(name.isidentifier() and name.isascii() and name.lower() != "rgba" for name in found.values())


def test_what_was_chosen_comes_back():
    how = Delivery(start_frame=1001, exr_color="acescg")
    assert how.chosen() == {"start_frame": 1001, "exr_color": "acescg"} and delivery_of(how.chosen()) == how
