"""The plate finds, under a moving camera, what an object hid."""

import cv2
import numpy as np
import pytest

from services.plate.plate import camera_path, choose_references, plate


def _clip(frames: int = 24, *, speed: float = 3.0, still: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A textured wall under a panning camera, a disc before it: (video, masks, wall without the disc)."""
    rng = np.random.default_rng(0)
    wall = cv2.resize(rng.integers(0, 255, (24, 60, 3), np.uint8), (600, 240), interpolation=cv2.INTER_CUBIC)
    walls, video, masks = [], [], []
    for t in range(frames):
        pan = np.array([[1, 0, -40 - speed * t], [0, 1, -30 - 0.3 * t]])
        seen = cv2.warpAffine(wall, pan, (192, 128), flags=cv2.INTER_LINEAR)
        mask = np.zeros((128, 192), np.uint8)
        cv2.circle(mask, (96 if still else 30 + 6 * t, 64), 18, 255, -1)
        walls.append(seen)
        video.append(np.where(mask[..., None] > 0, np.uint8(250), seen))
        masks.append(mask)
    return np.stack(video), np.stack(masks), np.stack(walls)


def test_the_camera_path_follows_the_pan() -> None:
    video, masks, _ = _clip()
    path = camera_path(video, masks)
    assert path[-1][0, 2] == pytest.approx(3.0 * 23, abs=0.8)
    assert path[-1][1, 2] == pytest.approx(0.3 * 23, abs=0.8)


def test_what_other_frames_saw_is_found_again() -> None:
    video, masks, wall = _clip()
    made = plate(12, video, masks, camera_path(video, masks), references=choose_references(12, 24))
    hole = masks[12] > 0
    error = np.abs(made.rgb.astype(int) - wall[12])[hole]
    assert error.mean() < 10
    assert made.seen[hole].min() > 0.2


def test_what_no_frame_saw_is_filled_from_around_and_marked_unseen() -> None:
    video, masks, _ = _clip(speed=0, still=True)
    made = plate(5, video, masks, camera_path(video, masks), references=choose_references(5, 24))
    centre = made.rgb[64, 96]
    assert made.seen[64, 96] == 0
    assert np.abs(centre.astype(int) - 250).max() > 30, "the disc itself must not come back"


def test_a_single_frame_still_gives_a_plate() -> None:
    video, masks, _ = _clip(frames=1)
    made = plate(0, video, masks, camera_path(video, masks), references=choose_references(0, 1))
    assert made.rgb.shape == video[0].shape
    assert np.abs(made.rgb[0, 0].astype(int) - video[0, 0, 0]).max() < 40


def test_references_stay_inside_the_clip_and_leave_the_target_out() -> None:
    for total in (1, 2, 13, 90, 500):
        for target in {0, total // 2, total - 1}:
            chosen = choose_references(target, total)
            assert target not in chosen
            assert all(0 <= r < total for r in chosen)
            assert len(chosen) <= 13
