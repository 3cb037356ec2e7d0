"""The evaluation table, for any weights, scenes and methods.

    python -m training.evaluate                                   held-out object-paste scenes, Casper and baselines
    python -m training.evaluate --scenes FOLDER                   any folder of scenes (training/data/scenes.py)
    python -m training.evaluate --layers                          the whole decomposition: layers, order, recomposition
    python -m training.evaluate --against ProPainter=DIR          other methods' results (training/evaluate/against.py)
    python -m training.evaluate --table1 FOLDER                   paper Table 1 (training/evaluate/benchmark.py)
    python -m training.evaluate --weights all=A --weights no-kubric=B              paper Table 3
    python -m training.evaluate --rgb masked --trimask binary --weights bin=C      paper Table 4, a row
    python -m training.evaluate --layers --copied-rgb             paper Fig. 9c

PSNR in dB against peak 255, at most 60, mean over runs. "removed": inside the removed objects' trimask region;
"effect": elsewhere, where the truth differs from the input; "outside": the rest; "kept": inside the kept object's mask
(solo runs). "flicker": change from frame to frame that the truth does not have, in codes of 255. A clip's seconds are
for all of its runs. Scenes are scored at base resolution (short side 128) unless --native, --table1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
from tqdm import tqdm

from services.casper.compact import WEIGHTS
from services.errors import OmnimatteError
from services.ssr.stage import WEIGHTS as SSR_WEIGHTS
from training.data.scenes import Scene
from training.evaluate import benchmark, sets, sheet, table
from training.evaluate.against import Against
from training.evaluate.methods import Method, baselines
from training.evaluate.ours import Options, Ours
from training.evaluate.perceptual import lpips
from training.evaluate.score import Score, Seen, measure, runs

_SHEET_ROWS = 16


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m training.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    where = made.add_argument_group("scenes")
    where.add_argument("--clips", type=int, default=14, help="held-out object-paste scenes")
    where.add_argument("--frames", type=int, default=8, help="frames of each of them")
    where.add_argument("--scenes", type=Path, action="append", help="a folder of scenes, instead")
    where.add_argument("--table1", type=Path, metavar="FOLDER", help="OmnimatteRF's scenes, instead, at native size")
    where.add_argument("--native", action="store_true", help="score at the scenes' own size")
    who = made.add_argument_group("methods")
    who.add_argument("--weights", type=_named, action="append", metavar="NAME=FILE", help="Casper's; may be repeated")
    who.add_argument("--ssr", type=Path, default=SSR_WEIGHTS, metavar="FILE", help="super-resolution's weights")
    who.add_argument("--against", type=_named, action="append", default=[], metavar="NAME=DIR", help="a result folder")
    who.add_argument("--methods", type=lambda text: text.split(","), metavar="A,B", help="only these of all methods")
    how = made.add_argument_group("our stages")
    how.add_argument("--steps", type=int, default=1, help="Casper's denoising steps")
    how.add_argument("--seed", type=int, default=0)
    how.add_argument("--layers", action="store_true", help="solve, order and score every object's layer")
    how.add_argument("--schedule", choices=("draft", "fast"), default="fast", help="the layers' solver")
    how.add_argument("--rgb", choices=("unmasked", "masked"), default="unmasked", help="what Casper sees of objects")
    how.add_argument("--trimask", choices=("tri", "binary"), default="tri", help="binary: all the rest is to be kept")
    how.add_argument("--copied-rgb", action="store_true", help="layers take the input's colours")
    out = made.add_argument_group("output")
    out.add_argument("--json", type=Path, metavar="FILE", help="every number")
    out.add_argument("--sheet", type=Path, metavar="PNG", help="a contact sheet of the first runs")
    return made


def _named(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PATH")
    if not Path(path).exists():
        raise argparse.ArgumentTypeError(f"{path} does not exist")
    return name, Path(path)


def scenes_of(given: argparse.Namespace) -> list[Scene]:
    """The scenes that were asked for, at the size that they are scored at."""
    if given.table1:
        return benchmark.load(given.table1)
    if given.scenes:
        found = [scene for folder in given.scenes for scene in sets.folder(folder)]
    else:
        found = sets.object_paste(given.clips, frames=given.frames)
    return found if given.native else [sets.at_base(scene) for scene in found]


def methods_of(given: argparse.Namespace) -> tuple[dict[str, Method], list[str]]:
    """All methods by name, baselines first, and the names of our own."""
    options = Options(
        steps=given.steps,
        schedule=given.schedule,
        seed=given.seed,
        native=given.native or given.table1 is not None,
        layers=given.layers,
        masked_rgb=given.rgb == "masked",
        binary=given.trimask == "binary",
        copied_rgb=given.copied_rgb,
    )
    methods = baselines(layers=given.layers)
    ours = {name: Ours(options, path, given.ssr) for name, path in given.weights or [("ours", WEIGHTS)]}
    methods |= {name: Against(path) for name, path in given.against}
    methods |= ours
    if given.methods:
        unknown = [name for name in given.methods if name not in methods]
        if unknown:
            raise ValueError(f"there is no method {unknown[0]!r}; there are {', '.join(methods)}")
        methods = {name: methods[name] for name in given.methods}
    return methods, [name for name in ours if name in methods]


def evaluate(
    scenes: Sequence[Scene], methods: Mapping[str, Method], *, every: bool, looked_at: int = 0
) -> tuple[list[Score], list[Seen]]:
    """Scores of all methods on all scenes, and the first `looked_at` runs with their videos."""
    scores: list[Score] = []
    seen: list[Seen] = []
    perceptual = lpips()
    with tqdm(total=len(scenes) * len(methods), unit="clip", disable=None) as bar:
        for turn, scene in enumerate(scenes):
            keeps = runs(scene, every=every, turn=turn)
            answers = {}
            for name, found, answer in measure(scene, methods, keeps, perceptual=perceptual):
                scores += found
                answers[name] = answer
                bar.set_postfix_str(f"{scene.name} {name}", refresh=False)
                bar.update()
            for keep in keeps[: max(0, looked_at - len(seen))]:
                seen.append(Seen(scene, keep, {n: a.videos[keep] for n, a in answers.items() if keep in a.videos}))
    return scores, seen


def report(scores: Sequence[Score], ours: Sequence[str], *, title: str, benchmark_mode: bool) -> str:
    """The Markdown that goes to the terminal."""
    if benchmark_mode:
        parts = [
            title,
            table.means(scores, "background", table.TABLE_1),
            "PSNR / LPIPS by scene:",
            table.table_1_per_scene(scores),
        ]
        return "\n\n".join(parts)
    parts = [title]
    for kind, heading, columns in (
        ("background", "Background runs (every object removed)", table.REMOVAL),
        ("solo", "Solo runs (one object kept)", table.REMOVAL),
        ("layers", "Layers", table.LAYERS),
    ):
        found = table.means(scores, kind, columns)  # type: ignore[arg-type]
        parts += [f"**{heading}**", found] if found else []
    parts += ["**Goals**", table.goals(scores, ours)] if ours else []
    parts += ["**By scene**, PSNR removed / effect / outside", table.per_scene(scores)]
    if any(score.kind == "layers" for score in scores):
        parts += ["**By scene**, alpha SAD / foreground error / recomposition", table.layers_per_scene(scores)]
    return "\n\n".join(parts)


def title_of(given: argparse.Namespace, scenes: Sequence[Scene]) -> str:
    """What was measured, in one line: a table without it is worth nothing a week later."""
    what = f"{len(scenes)} scenes ({', '.join(sorted({scene.category for scene in scenes}))})"
    sizes = sorted({f"{s.video.shape[2]}x{s.video.shape[1]}" for s in scenes})
    frames = sorted({len(scene.video) for scene in scenes})
    span = str(frames[0]) if len(frames) == 1 else f"{frames[0]}-{frames[-1]}"
    parts = [what, f"{span} frames", " ".join(sizes), f"{given.steps} steps", f"seed {given.seed}"]
    parts += [f"{given.rgb} RGB, {given.trimask} mask"] if (given.rgb, given.trimask) != ("unmasked", "tri") else []
    parts += [f"layers: {given.schedule}{', copied RGB' if given.copied_rgb else ''}"] if given.layers else []
    return "; ".join(parts)


def as_json(given: argparse.Namespace, scores: Sequence[Score]) -> dict[str, Any]:
    """Every number, and the settings that it was measured with."""
    settings = {name: _plain(value) for name, value in vars(given).items() if name not in ("json", "sheet")}
    told = [{"scene": s.scene, "method": s.method, "run": s.run, "kind": s.kind, **s.values} for s in scores]
    return {"settings": settings, "scores": told}


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 with one sentence on stderr for what was asked and cannot be done."""
    given = parser().parse_args(arguments)
    cv2.setNumThreads(1)
    try:
        scenes = scenes_of(given)
        methods, ours = methods_of(given)
        rows = _SHEET_ROWS if given.sheet else 0
        scores, seen = evaluate(scenes, methods, every=given.layers, looked_at=rows)
    except (FileNotFoundError, ValueError, OmnimatteError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        if "state_dict" not in str(error):
            raise
        print("evaluate: these weights are of another network than compact Casper is now", file=sys.stderr)
        return 2
    print(report(scores, ours, title=title_of(given, scenes), benchmark_mode=given.table1 is not None))
    if given.json:
        given.json.write_text(json.dumps(as_json(given, scores), indent=1))
    if given.sheet:
        sheet.write(given.sheet, seen, list(methods))
    return 0


if __name__ == "__main__":
    sys.exit(main())
