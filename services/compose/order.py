"""Which layer is in front of which, frame by frame. Pure.

Must not know: pixels.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from services.compose.edit import OrderRun
from services.errors import BadInput


def order_at(frame: int, *, own: Sequence[Sequence[str]], shown: Sequence[str], runs: Sequence[OrderRun]) -> list[str]:
    """The labels of `shown`, front to back, at `frame`.

    own: the clip's order of its own layers, per frame. runs: the user's; () for the clip's own. What an order does
    not name is in front of what it names, later ones first, as inserted layers are.
    """
    if runs:
        at = bisect_right([run.frame for run in runs], frame) - 1
        named = list(runs[max(at, 0)].front_to_back)
    else:
        named = list(own[frame])
    unnamed = [label for label in reversed(shown) if label not in named]
    return [*unnamed, *(label for label in named if label in shown)]


def check_runs(runs: Sequence[OrderRun], *, known: Sequence[str]) -> None:
    """Raises BadInput for a label that does not exist."""
    for run in runs:
        for label in run.front_to_back:
            if label not in known:
                raise BadInput(
                    f"order names the layer {label!r}, which does not exist; the layers are {', '.join(known)}.",
                    field="order",
                )
