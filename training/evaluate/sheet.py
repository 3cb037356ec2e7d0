"""A contact sheet: one row for each run, its middle frame as input, trimask, truth, and each method's result.

Must not know: what was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.evaluate.methods import to_float
from training.evaluate.regions import trimasks
from training.evaluate.score import Seen, name_of

Image = NDArray[np.uint8]

_WIDTH = 224
_HEAD = 16
_GAP = 2


def write(path: Path, seen: Sequence[Seen], methods: Sequence[str]) -> None:
    """Write the sheet as an image. Raises OSError if that fails."""
    rows = [_headings(["input", "trimask", "truth", *methods])]
    for run in seen:
        rows.append(_row(run, methods))
    width = max(row.shape[1] for row in rows)
    padded = [cv2.copyMakeBorder(row, 0, _GAP, 0, width - row.shape[1], cv2.BORDER_CONSTANT) for row in rows]
    if not cv2.imwrite(str(path), np.concatenate(padded)[..., ::-1]):
        raise OSError(f"cannot write the sheet {path}")


def _row(run: Seen, methods: Sequence[str]) -> Image:
    middle = len(run.scene.video) // 2
    frame = slice(middle, middle + 1)
    tri = trimasks(run.scene.masks[frame], keep=run.keep)[0]
    truth = run.scene.truth(run.keep)[middle]
    videos = [run.videos[name][middle] if name in run.videos else np.zeros(truth.shape, np.float32) for name in methods]
    pictures = [to_float(run.scene.video[middle]), np.repeat(tri[..., None], 3, axis=-1), to_float(truth), *videos]
    cells = [_cell(picture) for picture in pictures]
    cv2.putText(cells[0], f"{run.scene.name} {name_of(run.keep)}", (3, 11), cv2.FONT_HERSHEY_SIMPLEX, 0.35, (255,) * 3)
    return np.concatenate(cells, axis=1)


def _cell(picture: NDArray[np.floating]) -> Image:
    height = round(picture.shape[0] * _WIDTH / picture.shape[1])
    pixels = np.asarray(np.clip(picture, 0, 1) * 255 + 0.5, np.uint8)
    small = cv2.resize(pixels, (_WIDTH, height), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.copyMakeBorder(small, 0, 0, 0, _GAP, cv2.BORDER_CONSTANT), np.uint8)


def _headings(names: Sequence[str]) -> Image:
    head = np.full((_HEAD, len(names) * (_WIDTH + _GAP), 3), 32, np.uint8)
    for i, name in enumerate(names):
        place = (i * (_WIDTH + _GAP) + 4, 12)
        cv2.putText(head, name, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
    return head
