"""Whether an edit fits the deliveries that it works on: everything that can be known before a frame is read.

Must not know: pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from services.compose.edit import Change, Edit
from services.compose.keyframes import Curve
from services.compose.order import check_runs
from services.errors import BadInput, BadOption, NotFound

CURVES = ("move", "scale", "rotate", "opacity")
LOOKS = ("exposure", "contrast", "saturation", "hue", "blur")


def check(edit: Edit, *, labels: Sequence[str], frames: int, inserted: Mapping[str, Sequence[str]]) -> None:
    """Raises NotFound or BadInput, naming the place, for what the deliveries do not have.

    Args:
        labels, frames: of the clip that is edited.
        inserted: the source of each insert -> the labels of its layers.
    """
    for label in edit.layers:
        if label not in labels:
            raise NotFound(
                f"the clip has no layer {label!r}; its layers are {', '.join(labels) or 'none'}.",
                field=f"layers.{label}",
            )
    for i, insert in enumerate(edit.inserts):
        if insert.label in labels:
            raise BadInput(
                f"the clip has a layer {insert.label!r} already; give the inserted one another name with 'as'.",
                field=f"inserts[{i}].as",
            )
        if insert.layer not in inserted[insert.source]:
            there = ", ".join(inserted[insert.source]) or "none"
            raise NotFound(
                f"{insert.source} has no layer {insert.layer!r}; it has {there}.",
                field=f"inserts[{i}].layer",
            )
    if edit.frames is not None and edit.frames[1] >= frames:
        raise BadOption(f"frames ends at {edit.frames[1]}, but the clip's last frame is {frames - 1}.", field="frames")
    for where, change in _changes(edit):
        for name, curve in _curves(change):
            if curve.span[1] >= frames:
                raise BadOption(
                    f"{where}.{name} has a key at frame {curve.span[1]}, but the clip's last frame is {frames - 1}.",
                    field=f"{where}.{name}",
                )
        if change.retime.freeze is not None and where.startswith("layers") and change.retime.freeze >= frames:
            raise BadOption(
                f"{where}.retime.freeze is {change.retime.freeze}, but the clip's last frame is {frames - 1}.",
                field=f"{where}.retime.freeze",
            )
    check_runs(edit.order, known=[*labels, *(insert.label for insert in edit.inserts)])
    for i, run in enumerate(edit.order):
        if run.frame >= frames:
            raise BadOption(
                f"order begins anew at frame {run.frame}, but the clip's last frame is {frames - 1}.",
                field=f"order[{i}].frame",
            )


def require_harmless(edit: Edit) -> None:
    """Raises BadOption for an edit that runs programs or loads models: a service renders for strangers."""
    for where, change in _changes(edit):
        if change.style is not None and change.style.runs_code:
            raise BadOption(
                f"{where}.stylise runs a program, which a server does not do for its callers; render it with "
                "`omnimatte compose` on your own machine, or choose a filter.",
                field=f"{where}.stylise",
            )


def _changes(edit: Edit) -> Iterator[tuple[str, Change]]:
    for label, change in edit.layers.items():
        yield f"layers.{label}", change
    for i, insert in enumerate(edit.inserts):
        yield f"inserts[{i}]", insert.change


def _curves(change: Change) -> Iterator[tuple[str, Curve]]:
    for name in CURVES:
        yield name, getattr(change, name)
    for name in LOOKS:
        yield f"color.{name}" if name != "blur" else name, getattr(change.look, name)
    if change.retime.map is not None:
        yield "retime.map", change.retime.map
