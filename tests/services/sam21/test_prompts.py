"""What prompts mean for an object's track, and the sentences for what cannot be meant."""

from __future__ import annotations

import numpy as np
import pytest

from services.errors import BadPrompt
from services.sam21.prompts import Prompt, courses

SHAPE = (20, 48, 64, 3)


def mask(full: bool = True, shape: tuple[int, int] = (48, 64)) -> np.ndarray:
    return np.full(shape, 255 if full else 0, np.uint8)


def test_the_first_prompt_that_states_the_object_is_where_its_track_starts() -> None:
    course = courses(
        [
            Prompt(0, 15, point=(3, 3), positive=False),
            Prompt(0, 9, point=(5, 5)),
            Prompt(0, 2, point=(6, 6)),
            Prompt(0, 12, box=(1, 1, 9, 9)),
            Prompt(0, 12, point=(2, 2), positive=False),
            Prompt(0, 4, mask=mask()),
        ],
        shape=SHAPE,
        labels=["a"],
    )[0]
    assert course.start == 9
    assert sorted(course.told) == [4, 9, 12] and sorted(course.corrections) == [2, 15]
    assert course.told[12].box == (1, 1, 9, 9) and course.told[12].points == (((2, 2), False),)


def test_two_boxes_on_one_frame_are_parts_of_the_object() -> None:
    prompts = [Prompt(0, 0, box=(1, 2, 9, 9)), Prompt(0, 0, box=(4, 0, 20, 8))]
    assert courses(prompts, shape=SHAPE, labels=["a"])[0].told[0].box == (1, 0, 20, 9)


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        (Prompt(0, 0, box=(-4, 0, 20, 20)), "outside the frame, which is 64x48"),
        (Prompt(0, 0, box=(30, 30, 30, 40)), "empty"),
        (Prompt(0, 20, box=(10, 10, 40, 40)), "has 20 frames"),
        (Prompt(0, 0, point=(64, 10)), "outside the frame"),
        (Prompt(0, 0, point=(float("nan"), 10)), "finite"),
        (Prompt(3, 0, point=(20, 10)), "number the 1 objects"),
        (Prompt(0, 0), "exactly one"),
        (Prompt(0, 0, point=(2, 2), mask=mask()), "exactly one"),
        (Prompt(0, 0, mask=mask(shape=(10, 12))), "12x10 pixels and the frame 64x48"),
        (Prompt(0, 0, mask=mask(full=False)), "mask is empty"),
        (Prompt(0, 0, point=(20, 10), positive=False), "object a has no box, mask or positive point"),
    ],
)
def test_a_prompt_that_cannot_be_meant_is_refused_in_one_sentence(prompt: Prompt, says: str) -> None:
    with pytest.raises(BadPrompt, match=says) as refused:
        courses([prompt], shape=SHAPE, labels=["a"])
    assert refused.value.message.endswith(".") and "\n" not in refused.value.message
