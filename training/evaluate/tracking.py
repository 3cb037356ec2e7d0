"""How well the compact tracker follows boxes, measured on clips that come with masks.

    python -m training.evaluate.tracking CLIP_DIR [CLIP_DIR ...] [--frames N] [--sheet OUT.png]

A clip folder holds `input_video.mp4` and `mask_00.mp4`, `mask_01.mp4`, ... (white is the object). Every object gets one
prompt: the tight box of its given mask on its first visible frame. Printed is the mean intersection over union with the
given masks over the frames on which the object is visible.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from services.sam2.seed import bounds
from services.sam2.tracker import Prompt, Tracks, track

_THRESHOLD = 128
Byte = NDArray[np.uint8]


def read_video(path: Path, limit: int | None = None) -> Byte:
    """[T, H, W, 3] uint8 RGB, the first `limit` frames."""
    frames: list[Byte] = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if limit is not None and len(frames) >= limit:
                break
            frames.append(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
    return np.stack(frames)


def read_clip(folder: Path, limit: int | None = None) -> tuple[Byte, NDArray[np.bool_]]:
    """Frames [T, H, W, 3] uint8 and masks [T, H, W, N] bool."""
    masks = [read_video(path, limit)[..., 0] >= _THRESHOLD for path in sorted(folder.glob("mask_*.mp4"))]
    return read_video(folder / "input_video.mp4", limit), np.stack(masks, -1)


def first_boxes(masks: NDArray[np.bool_]) -> list[Prompt]:
    """For every object the tight box on the first frame that shows it."""
    prompts = []
    for k in range(masks.shape[-1]):
        t = int(np.flatnonzero(masks[..., k].any((1, 2)))[0])
        x0, y0, x1, y1 = bounds(masks[t, ..., k])
        prompts.append(Prompt(object=k, frame=t, box=(x0, y0, x1, y1)))
    return prompts


def overlap(found: NDArray[np.bool_], given: NDArray[np.bool_]) -> float:
    """Intersection over union; 1 for two empty masks."""
    union = (found | given).sum()
    return float((found & given).sum() / union) if union else 1.0


def per_frame(tracks: Tracks, masks: NDArray[np.bool_]) -> list[list[float]]:
    """For every object, the IoU on each frame on which the given mask is not empty."""
    scores: list[list[float]] = [[] for _ in range(masks.shape[-1])]
    for t in range(len(masks)):
        found = tracks[t] > 0
        for k, score in enumerate(scores):
            if masks[t, ..., k].any():
                score.append(overlap(found[..., k], masks[t, ..., k]))
    return scores


def contact_sheet(frames: Byte, tracks: Tracks, count: int = 12) -> Byte:
    """A picture of `count` frames with the masks laid over them."""
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]], np.float32)
    tiles = []
    for t in np.linspace(0, len(frames) - 1, count).astype(int):
        tile = frames[t].astype(np.float32)
        for k in range(tracks.shape[-1]):
            on = tracks[int(t)][..., k] > 0
            tile[on] = tile[on] / 2 + colours[k % len(colours)] / 2
        tiles.append(np.asarray(cv2.resize(tile, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)))
    rows = [np.hstack(tiles[start : start + 3]) for start in range(0, count - count % 3, 3)]
    return np.vstack(rows).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP_DIR")
    parser.add_argument("--frames", type=int, help="only so many frames of every clip")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet (the clip's name is put before .png)")
    options = parser.parse_args()
    print(f"{'clip':<20} {'object':>6} {'mean IoU':>9} {'worst':>6} {'frames':>7} {'CPU s/frame':>12}")
    for folder in options.clips:
        frames, masks = read_clip(folder, options.frames)
        start = time.process_time()
        tracks = track(
            frames, first_boxes(masks), labels=[str(k) for k in range(masks.shape[-1])],
            on_progress=lambda done, total: None, cancelled=lambda: False,
        )  # fmt: skip
        seconds = (time.process_time() - start) / len(frames)
        for k, scores in enumerate(per_frame(tracks, masks)):
            row = f"{folder.name:<20} {k:>6} {np.mean(scores):>9.3f} {min(scores):>6.2f} {len(scores):>7}"
            print(f"{row} {seconds:>12.2f}")
        if options.sheet:
            path = options.sheet.with_name(f"{options.sheet.stem}_{folder.name}.png")
            cv2.imwrite(str(path), contact_sheet(frames, tracks)[..., ::-1])


if __name__ == "__main__":
    main()
