"""A contact sheet: frames of several rendered sequences in rows, for a page that shows what edits do.

    python -m services.compose.sheet SHEET.jpg --frames 0 16 32 FOLDER...

Must not know: edits.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from services.errors import NotFound

_GAP = 6


def sheet(folders: Sequence[Path], frames: Sequence[int], target: Path, *, width: int) -> None:
    """Write a JPEG: one row per folder of PNGs, one column per frame, each `width` pixels wide. Raises NotFound."""
    rows = []
    for folder in folders:
        paths = sorted(folder.glob("*.png"))
        if not paths or max(frames) >= len(paths):
            raise NotFound(f"{folder} has {len(paths)} pictures; frame {max(frames)} was asked for.")
        images = [np.asarray(cv2.imread(str(paths[index]))) for index in frames]
        height = round(images[0].shape[0] * width / images[0].shape[1])
        small = [cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) for image in images]
        rows.append(np.hstack([np.pad(one, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=255) for one in small]))
    cv2.imwrite(str(target), np.vstack(rows)[:-_GAP, :-_GAP], [cv2.IMWRITE_JPEG_QUALITY, 86])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m services.compose.sheet", description=__doc__)
    parser.add_argument("target", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--frames", type=int, nargs="+", required=True)
    parser.add_argument("--width", type=int, default=300)
    options = parser.parse_args()
    sheet(options.folders, options.frames, options.target, width=options.width)


if __name__ == "__main__":
    main()
