"""Boxes on the first frame of real footage."""

from pathlib import Path

import numpy as np

from services.sam2.tracker import track
from training.evaluate.tracking import first_boxes, per_frame, read_clip


def test_boxes_follow_two_children_on_a_beach(shared_clips: Path) -> None:
    frames, masks = read_clip(shared_clips / "boys-beach", 8)
    tracks = track(
        frames, first_boxes(masks), labels=["one", "two"], on_progress=lambda done, total: None, cancelled=lambda: False
    )
    for scores in per_frame(tracks, masks):
        assert np.mean(scores) > 0.75
