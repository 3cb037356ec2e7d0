"""Scores of methods over scenes: which runs are made of a scene, and what is measured of an answer.

Must not know: how methods work, or how scores are shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from services.compositing import composite
from training.data.scenes import Scene
from training.evaluate import metrics
from training.evaluate.methods import Answer, Decomposition, Keep, Method, Video, to_float
from training.evaluate.perceptual import Perceptual
from training.evaluate.regions import regions

Kind = Literal["background", "solo", "layers"]


@dataclass(frozen=True)
class Score:
    """What was measured of one method on one run of one scene.

    kind: what was asked for. run: "background", "solo 0", "layers". values: measure -> number, None where it has none.
    """

    scene: str
    method: str
    kind: Kind
    run: str
    values: Mapping[str, float | None]


def runs(scene: Scene, *, every: bool, turn: int = 0) -> tuple[Keep, ...]:
    """The background, and one solo (object `turn` modulo N) or with `every` all, as far as their truth is known.

    A scene of one object has no solo run: its solo video is the input (paper section 3.2).
    """
    background: tuple[Keep, ...] = () if scene.background is None else ((),)
    if scene.objects < 2 or scene.solos is None:
        return background
    chosen = range(scene.objects) if every else (turn % scene.objects,)
    return (*background, *((n,) for n in chosen))


def removal(
    scene: Scene, answer: Answer, keeps: Sequence[Keep], *, method: str, perceptual: Perceptual | None
) -> Iterator[Score]:
    """One score for each run that the method answered.

    Measures: "psnr", "ssim", "lpips" over the frame; "removed", "effect", "outside": PSNR there (regions.py); "kept":
    PSNR inside the kept object's mask; "flicker" inside `removed` and `effect`; "seconds" for the whole scene.
    """
    for keep in keeps:
        if keep not in answer.videos:
            continue
        bytes_truth = scene.truth(keep)
        result, truth = answer.videos[keep], to_float(bytes_truth)
        where = regions(scene.video, bytes_truth, scene.masks, keep=keep)
        values = {
            "psnr": metrics.psnr(result, truth),
            "ssim": metrics.ssim(result, truth),
            "lpips": None if perceptual is None else perceptual(result, truth),
            "removed": metrics.psnr(result, truth, where.removed),
            "effect": metrics.psnr(result, truth, where.effect),
            "outside": metrics.psnr(result, truth, where.outside),
            "kept": metrics.psnr(result, truth, where.kept) if keep else None,
            "flicker": metrics.flicker(result, truth, where.changed),
            "seconds": answer.seconds,
        }
        yield Score(scene.name, method, "solo" if keep else "background", name_of(keep), values)


def name_of(keep: Keep) -> str:
    return f"solo {keep[0]}" if keep else "background"


def decomposition(scene: Scene, answer: Answer, *, method: str) -> Iterator[Score]:
    """At most one score: means over the scene's layers.

    Measures: "sad", "mse", "foreground" (metrics.py), None without true layers; "recomposition": PSNR of the layers
    over the method's own background against the input; "iou": the method's masks against the true ones, or where it
    does not track, alpha above a half against the true layer's; "pairs right", "pairs": order of crossing objects.
    """
    made = answer.layers
    if made is None:
        return
    true = None if scene.layers is None else to_float(scene.layers)
    order = _order(scene, made)
    right, pairs = _pairs(scene, made, true)
    values: dict[str, float | None] = dict.fromkeys(("sad", "mse", "foreground"))
    if true is not None:
        both = list(zip(made.layers, true, strict=True))
        values["sad"] = metrics.mean(metrics.alpha_sad(a[..., 3], b[..., 3]) for a, b in both)
        values["mse"] = metrics.mean(metrics.alpha_mse(a[..., 3], b[..., 3]) for a, b in both)
        values["foreground"] = metrics.mean(
            metrics.foreground_error(a[..., :3], b[..., :3], b[..., 3]) for a, b in both
        )
    values["recomposition"] = None
    if made.background is not None:
        values["recomposition"] = metrics.psnr(recompose(made.layers, made.background, order), to_float(scene.video))
    values["iou"] = metrics.mean(metrics.iou(*pair) for pair in _mask_pairs(scene, made, true))
    values |= {"pairs right": float(right), "pairs": float(pairs), "seconds": answer.seconds}
    yield Score(scene.name, method, "layers", "layers", values)


def recompose(layers: Video, background: Video, order: NDArray[np.integer]) -> Video:
    """All layers [N, T, h, w, 4] over `background` [T, h, w, 3], in each frame in its order (back to front)."""
    out = np.empty_like(background)
    for t, row in enumerate(order):
        front_first = [layers[int(n), t] for n in reversed(row)]
        out[t] = composite([one[..., :3] for one in front_first], [one[..., 3:] for one in front_first], background[t])
    return out


def _order(scene: Scene, made: Decomposition) -> NDArray[np.integer]:
    """The method's order; the true one where it has none, since it cannot be recomposed without; else the job's."""
    if made.order is not None:
        return made.order
    if scene.order is not None:
        return scene.order
    return np.repeat(np.arange(scene.objects)[None], len(scene.video), axis=0)


def _pairs(scene: Scene, made: Decomposition, true: Video | None) -> tuple[int, int]:
    if made.order is None or scene.order is None:
        return 0, 0
    crossing = metrics.crossings(scene.masks, None if true is None else true[..., 3])
    return metrics.pair_order(made.order, scene.order, crossing)


def _mask_pairs(
    scene: Scene, made: Decomposition, true: Video | None
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    for n in range(scene.objects):
        visible = scene.masks[..., n] > 0
        if made.masks is not None:
            yield made.masks[..., n] > 0, visible
        else:
            yield made.layers[n, ..., 3] > metrics.OPAQUE, visible if true is None else true[n, ..., 3] > metrics.OPAQUE


@dataclass(frozen=True)
class Seen:
    """One run of a scene with every method's video, for looking at."""

    scene: Scene
    keep: Keep
    videos: Mapping[str, Video]


def measure(
    scene: Scene,
    methods: Mapping[str, Method],
    keeps: Sequence[Keep],
    *,
    perceptual: Perceptual | None,
) -> Iterator[tuple[str, list[Score], Answer]]:
    """Ask every method in turn; yields (name, its scores, its answer)."""
    for name, method in methods.items():
        answer = method(scene, keeps)
        scores = [*removal(scene, answer, keeps, method=name, perceptual=perceptual)]
        yield name, [*scores, *decomposition(scene, answer, method=name)], answer
