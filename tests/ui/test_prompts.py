"""Clicks become the objects of a job."""

from pathlib import Path

import pytest

from services.errors import BadInput, BadPrompt
from ui import prompts
from ui.session import Clip, Marks

CLIP = Clip(Path("clip"), "clip", Path("."), height=96, width=160, scale=1.0)


def clicked(*points: tuple[int, float, float, bool]) -> Marks:
    marks = Marks()
    for frame, x, y, positive in points:
        marks = prompts.with_point(marks, CLIP, frame=frame, x=x, y=y, positive=positive)
    return marks


def test_points_of_all_frames_go_into_the_job_and_those_of_one_into_its_preview():
    marks = clicked((0, 10, 20, True), (3, 30, 40, False))
    assert prompts.objects(marks) == [
        {
            "label": "object-1",
            "prompts": [
                {"frame": 0, "point": [10, 20], "positive": True},
                {"frame": 3, "point": [30, 40], "positive": False},
            ],
        }
    ]
    assert [len(one["prompts"]) for one in prompts.objects(marks, frame=0)] == [1]
    assert prompts.objects(marks, frame=3) == []  # Nothing there says where the object is.


def test_objects_are_added_renamed_and_removed():
    marks = prompts.renamed(clicked((0, 1, 1, True)), "Red Ball!")
    assert marks.labels == ("red-ball",) and marks.points[0].label == "red-ball"
    two = prompts.with_object(marks)
    assert two.current == "object-1" and two.labels == ("red-ball", "object-1")
    with pytest.raises(BadInput, match="cannot both be called"):
        prompts.renamed(two, "red ball")
    assert prompts.without_object(two) == Marks(marks.labels, "red-ball", marks.points)
    assert prompts.undone(marks).points == ()


@pytest.mark.parametrize("at", [(-1, 5), (160, 5), (5, 96), (float("nan"), 5)])
def test_a_point_outside_the_clip_is_refused(at):
    with pytest.raises(BadPrompt, match="outside the frame"):
        clicked((0, *at, True))


def test_a_job_needs_an_object():
    with pytest.raises(BadInput, match="no object is marked yet"):
        prompts.job_spec({"digest": "0" * 64}, Marks(), preserve=None, schedule="fast", steps=0)


def test_boxes_are_read_as_people_write_them():
    assert prompts.boxes_of(" 0 0 160 96\n\n4, 5,6 ; 7\n", CLIP) == [(0, 0, 160, 96), (4, 5, 6, 7)]
    assert prompts.boxes_of("", CLIP) == []


@pytest.mark.parametrize("text", ["1 2 3", "a b c d", "5 5 5 9", "0 0 161 96", "-1 0 4 4", "9" * 5000])
def test_what_is_no_box_in_the_clip_is_refused_with_its_line(text):
    with pytest.raises(BadInput, match=r"is no box in this clip; write left, .* at most 0 0 160 96"):
        prompts.boxes_of(text, CLIP)
