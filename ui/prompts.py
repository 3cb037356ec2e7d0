"""Clicks become the objects of a job spec. Pure.

Must not know: Gradio, pictures, or how an object is found.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

from orchestrator.spec import MAX_OBJECTS, MAX_PROMPTS, check_label
from services.errors import BadInput, BadPrompt
from ui.session import Clip, Marks, Point

_BOX = re.compile(r"[ ,;]+".join([r"([0-9]{1,6})"] * 4))


def label_of(text: str) -> str:
    """The label nearest to what somebody typed ("Red Ball" -> "red-ball"). Raises BadInput if there is none."""
    return check_label(re.sub(r"[^a-z0-9_]+", "-", text.strip().lower()).strip("-_")[:40], field="")


def with_object(marks: Marks) -> Marks:
    """One more object, made the current one. Raises BadInput if there are as many as a job may have."""
    if len(marks.labels) >= MAX_OBJECTS:
        raise BadInput(f"a job has at most {MAX_OBJECTS} objects; mark the others in a second job.")
    numbers = range(1, MAX_OBJECTS + 2)
    label = next(f"object-{n}" for n in numbers if f"object-{n}" not in marks.labels)
    return replace(marks, labels=(*marks.labels, label), current=label)


def without_object(marks: Marks) -> Marks:
    """The current object and its points are gone; of a single one only the points."""
    rest = tuple(label for label in marks.labels if label != marks.current) or marks.labels
    points = tuple(point for point in marks.points if point.label != marks.current)
    return replace(marks, labels=rest, current=rest[-1], points=points)


def renamed(marks: Marks, text: str) -> Marks:
    """The current object under another name. Raises BadInput if it cannot be used or is another's."""
    label = label_of(text)
    if label != marks.current and label in marks.labels:
        raise BadInput(f"two objects cannot both be called {label!r}; choose another name.")
    return Marks(
        labels=tuple(label if old == marks.current else old for old in marks.labels),
        current=label,
        points=tuple(replace(p, label=label) if p.label == marks.current else p for p in marks.points),
    )


def with_current(marks: Marks, label: str) -> Marks:
    return replace(marks, current=label) if label in marks.labels else marks


def with_point(marks: Marks, clip: Clip, *, frame: int, x: float, y: float, positive: bool) -> Marks:
    """One more point for the current object. Raises BadPrompt if it is outside the clip, or one too many."""
    if not (math.isfinite(x) and math.isfinite(y) and 0 <= x < clip.width and 0 <= y < clip.height):
        raise BadPrompt(
            f"the point {x:g}, {y:g} is outside the frame; x goes from 0 to {clip.width - 1}, y to {clip.height - 1}."
        )
    if len(marks.of(marks.current)) >= MAX_PROMPTS:
        raise BadPrompt(f"{marks.current} has {MAX_PROMPTS} points, which is the most; undo one first.")
    point = Point(marks.current, frame=max(0, frame), x=float(x), y=float(y), positive=positive)
    return replace(marks, points=(*marks.points, point))


def undone(marks: Marks) -> Marks:
    """Without the last point, whichever object it is for."""
    return replace(marks, points=marks.points[:-1])


def objects(marks: Marks, *, frame: int | None = None) -> list[dict[str, Any]]:
    """The marked objects as a job spec has them; those without a point are left out.

    frame: only points of this frame, and only objects that can be previewed there: with a point on them.
    """
    found = []
    for label in marks.labels:
        points = [point for point in marks.of(label) if frame is None or point.frame == frame]
        if points and (frame is None or any(point.positive for point in points)):
            found.append({"label": label, "prompts": [_prompt(point) for point in points]})
    return found


def job_spec(
    source: dict[str, str], marks: Marks, *, preserve: dict[str, str] | None, schedule: str, steps: int
) -> dict[str, Any]:
    """The whole job. Raises BadInput if nothing is marked; the rest is the server's to check."""
    marked = objects(marks)
    if not marked:
        raise BadInput("no object is marked yet; click on one in the frame first.")
    options = {"formats": ["png"], "schedule": schedule, "steps": steps}
    return {"source": source, "objects": marked, "preserve": preserve, "options": options}


def _prompt(point: Point) -> dict[str, Any]:
    return {"frame": point.frame, "point": [point.x, point.y], "positive": point.positive}


def boxes_of(text: str, clip: Clip) -> list[tuple[int, int, int, int]]:
    """Boxes as somebody typed them, "left top right bottom" in pixels, one per line. Raises BadInput."""
    found = []
    for line in filter(None, map(str.strip, text.splitlines())):
        match = _BOX.fullmatch(line)
        left, top, right, bottom = map(int, match.groups()) if match else (0, 0, 0, 0)
        if not (left < right <= clip.width and top < bottom <= clip.height):
            raise BadInput(
                f"{line[:40]!r} is no box in this clip; write left, top, right and bottom, "
                f"at most 0 0 {clip.width} {clip.height}."
            )
        found.append((left, top, right, bottom))
    return found
