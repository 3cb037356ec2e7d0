"""Scores as Markdown tables, that read as well in a terminal as in a document, and as JSON.

Must not know: how anything was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from training.evaluate.metrics import mean
from training.evaluate.perceptual import MISSING
from training.evaluate.score import Kind, Score


@dataclass(frozen=True)
class Column:
    """A measure, its heading, and how many decimals it deserves."""

    measure: str
    heading: str
    decimals: int = 2


REMOVAL = (
    Column("psnr", "PSNR"),
    Column("ssim", "SSIM", 4),
    Column("lpips", "LPIPS", 4),
    Column("removed", "removed"),
    Column("effect", "effect"),
    Column("outside", "outside"),
    Column("kept", "kept"),
    Column("flicker", "flicker"),
    Column("seconds", "s / clip"),
)
LAYERS = (
    Column("sad", "alpha SAD", 3),
    Column("mse", "alpha MSE", 3),
    Column("foreground", "fg error"),
    Column("recomposition", "recomposition"),
    Column("iou", "mask IoU", 3),
    Column("order", "order", 3),
    Column("seconds", "s / clip"),
)
TABLE_1 = (
    Column("psnr", "PSNR"),
    Column("ssim", "SSIM", 4),
    Column("lpips", "LPIPS", 4),
    Column("seconds", "s / clip"),
)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first row is the heading, the first column text, the others numbers."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]

    def line(cells: Sequence[str]) -> str:
        aligned = [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
        return f"| {' | '.join(aligned)} |"

    rule = [("-" * w) if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join([line(rows[0]), line(rule), *(line(row) for row in rows[1:])])


def means(scores: Sequence[Score], kind: Kind, columns: Sequence[Column]) -> str:
    """One row for each method: its mean over the scores of `kind`; "" if there are none."""
    chosen = [score for score in scores if score.kind == kind]
    if not chosen:
        return ""
    shown = [c for c in columns if c.measure in ("lpips", "order") or value(chosen, c.measure) is not None]
    rows = [["method", *(column.heading for column in shown)]]
    for name in dict.fromkeys(score.method for score in chosen):
        own = [score for score in chosen if score.method == name]
        rows.append([name, *(_cell(own, column) for column in shown)])
    return markdown(rows)


def value(scores: Iterable[Score], measure: str) -> float | None:
    """The mean of a measure; "order" is the share of all pairs, since scenes have few."""
    known = list(scores)
    if measure == "order":
        pairs = sum(score.values.get("pairs") or 0 for score in known)
        return sum(score.values.get("pairs right") or 0 for score in known) / pairs if pairs else None
    return mean(score.values.get(measure) for score in known)


def _cell(scores: Sequence[Score], column: Column) -> str:
    found = value(scores, column.measure)
    if found is None:
        return MISSING if column.measure == "lpips" else "-"
    return f"{found:.{column.decimals}f}"


def per_scene(scores: Sequence[Score]) -> str:
    """Every run: PSNR "removed / effect / outside" of each method."""
    chosen = [score for score in scores if score.kind != "layers"]
    return _by_run(chosen, lambda score: " / ".join(_number(score.values[m]) for m in ("removed", "effect", "outside")))


def layers_per_scene(scores: Sequence[Score]) -> str:
    """Every scene: "SAD / foreground error / recomposition" of each method's layers."""
    chosen = [score for score in scores if score.kind == "layers"]
    return _by_run(
        chosen, lambda score: " / ".join(_number(score.values[m]) for m in ("sad", "foreground", "recomposition"))
    )


def table_1_per_scene(scores: Sequence[Score]) -> str:
    """Every scene of the benchmark: "PSNR / LPIPS" of each method."""
    return _by_run(scores, lambda score: f"{_number(score.values['psnr'])} / {_number(score.values['lpips'], 4)}")


def _by_run(scores: Sequence[Score], cell: Callable[[Score], str]) -> str:
    names = list(dict.fromkeys(score.method for score in scores))
    found = {(score.scene, score.run, score.method): cell(score) for score in scores}
    runs = list(dict.fromkeys((score.scene, score.run) for score in scores))
    rows = [["scene", "run", *names]]
    rows += [[scene, run, *(found.get((scene, run, name), "-") for name in names)] for scene, run in runs]
    return markdown(rows) if runs else ""


def _number(number: float | None, decimals: int = 1) -> str:
    return "-" if number is None else f"{number:.{decimals}f}"


@dataclass(frozen=True)
class Goal:
    """At least `least` of a measure, in dB, or of its gain over `over`; over all runs."""

    says: str
    measure: str
    least: float
    over: str = ""


GOALS = (
    Goal("effect, over identity", "effect", 10, "identity"),
    Goal("removed, over Telea", "removed", 4, "telea"),
    Goal("removed, over the temporal median", "removed", 0, "median"),
    Goal("outside", "outside", 40),
    Goal("solo runs, kept object", "kept", 36),
)


def goals(scores: Sequence[Score], names: Sequence[str]) -> str:
    """What the project wants of its own methods `names`, and what was measured."""
    rows = [["goal", "wanted", *names]]
    for goal in GOALS:
        cells = [_number(reached(scores, name, goal), 2) for name in names]
        sign = "+" if goal.over else ""
        rows.append([goal.says, f"{sign}{goal.least:g} dB", *cells])
    order = [value([s for s in scores if s.method == name and s.kind == "layers"], "order") for name in names]
    if any(found is not None for found in order):
        rows.append(["order of crossing objects", "97 %", *(_number(o and 100 * o) for o in order)])
    return markdown(rows)


def reached(scores: Sequence[Score], name: str, goal: Goal) -> float | None:
    """The mean of the measure, or of its difference run by run to the method that it is compared with."""
    chosen = [score for score in scores if score.kind != "layers"]
    own = {(s.scene, s.run): s.values[goal.measure] for s in chosen if s.method == name}
    if not goal.over:
        return mean(own.values())
    other = {(s.scene, s.run): s.values[goal.measure] for s in chosen if s.method == goal.over}
    both = [(mine, other.get(run)) for run, mine in own.items()]
    return mean(mine - theirs for mine, theirs in both if mine is not None and theirs is not None)
