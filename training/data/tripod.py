"""Pseudo pairs from footage of a static camera through which objects come and go (paper section 3.4, Tripod).

    python -m training.data.tripod VIDEO... --out FOLDER [--masks MASK_VIDEO] [--seed 0]

What a pixel shows most of the time is the empty plate; slow changes of light are followed. Then a pan and zoom is laid
over clip, masks and plate alike (Ken Burns). Must not know: who trains on the pairs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from services.errors import BadInput, BadMask, BadVideo
from services.plate import plate as plates
from services.video.source import Source, open_container
from training.data import augment, captions, scenes

HEIGHT, WIDTH = 128, 224
_MARGIN = 1.5
"""Clips are worked on larger than scenes are by this factor, so that a pan has room."""
SHAKE = 1.0
"""Pixels by which a corner of the picture may move while a camera counts as static."""
_SHORTEST = 12
Bytes = NDArray[np.uint8]
Array = NDArray[np.float32]


def read(path: Path, *, most: int = 600) -> Bytes:
    """The first `most` frames of a video, shrunk to cover the working size: [T, 192, 336, 3] uint8. Raises BadVideo."""
    height, width = round(HEIGHT * _MARGIN), round(WIDTH * _MARGIN)
    frames: list[Bytes] = []
    with path.open("rb") as file, open_container(file, path.name) as container:
        for picture in Source(container, path.name).pictures():
            pixels = picture.pixels if picture.pixels.dtype == np.uint8 else (picture.pixels >> 8).astype(np.uint8)
            scale = max(height / pixels.shape[0], width / pixels.shape[1])
            size = max(width, round(pixels.shape[1] * scale)), max(height, round(pixels.shape[0] * scale))
            small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
            y, x = (size[1] - height) // 2, (size[0] - width) // 2
            frames.append(np.asarray(small[y : y + height, x : x + width], np.uint8))
            if len(frames) == most:
                break
    return np.stack(frames)


def static_stretch(video: Bytes, *, objects: Bytes | None = None, shake: float = SHAKE) -> range:
    """The longest run of frames during which the camera stands still.

    objects: [T, h, w] uint8, non-zero where something moves anyway. Every frame is registered to the run's first.
    """
    blocked = np.zeros(video.shape[:3], np.uint8) if objects is None else objects
    best, first = range(0), 0
    for t in range(1, len(video) + 1):
        if t == len(video) or _moved(video, blocked, first, t) > shake:
            best = range(first, t) if t - first > len(best) else best
            first = t
    return best


def _moved(video: Bytes, blocked: Bytes, first: int, t: int) -> float:
    """How far the corners of the picture moved from frame `first` to `t`, in pixels."""
    pair, hidden = video[[first, t]], np.maximum(blocked[[first, t]], 0)
    path = plates.camera_path(pair, hidden)[1]
    height, width = video.shape[1:3]
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], np.float64).T
    moved = float(np.abs((path @ corners - corners)[:2]).max())
    # Where registration found nothing, pictures that mostly differ tell of a cut or a fast move.
    background = (hidden[0] == 0) & (hidden[1] == 0)
    different = np.abs(pair[0].astype(np.int16) - pair[1]).max(axis=-1)[background]
    return np.inf if different.size and np.median(different) > 30 else moved


def empty_plate(video: Bytes, objects: Bytes | None = None) -> Array:
    """What every pixel shows most of the time, light followed: [T, h, w, 3] float32, 0..255.

    objects: [T, h, w], non-zero where an object hides the plate. Raises BadVideo where it is hidden all the time.
    """
    free = np.ones(video.shape[:3], bool) if objects is None else objects == 0
    if (~free.any(axis=0)).mean() > 0.002:
        raise BadVideo("objects hide a part of the picture all the time; give footage that they enter and leave.")
    shown = np.where(free[..., None], video.astype(np.float32), np.nan)
    still = np.nan_to_num(np.nanmedian(shown, axis=0)).astype(np.float32)
    # A gain per frame and channel, from what looks like the plate; the median over time follows light, not objects.
    ratio = (video.astype(np.float32) + 1) / (still + 1)
    gains = np.stack([np.median(r[f], axis=0) for r, f in zip(ratio, free, strict=True)])
    reach = min(4, (len(video) - 1) // 2)
    padded = np.pad(gains, ((reach, reach), (0, 0)), mode="reflect")
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=0), axis=-1)
    return np.clip((still + 1) * smooth[:, None, None] - 1, 0, 255).astype(np.float32)


def difference_masks(video: Bytes, plate: Array, *, threshold: float = 26.0) -> Bytes:
    """One mask of all objects [T, h, w] uint8: what differs from the plate and is not merely darker (a shadow)."""
    found = []
    kernel = np.ones((3, 3), np.uint8)
    for frame, empty in zip(video.astype(np.float32), plate, strict=True):
        different = np.abs(frame - empty).max(axis=-1) > threshold
        ratio = (cv2.GaussianBlur(frame, (0, 0), 1) + 4) / (cv2.GaussianBlur(empty, (0, 0), 1) + 4)
        shadow = (ratio.max(axis=-1) < 0.97) & (ratio.min(axis=-1) > 0.3) & (np.ptp(ratio, axis=-1) < 0.08)
        mask = (different & ~shadow).astype(np.uint8)
        mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel)
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
        count, parts, facts, _ = cv2.connectedComponentsWithStats(mask)
        large = [i for i in range(1, count) if facts[i, cv2.CC_STAT_AREA] > 0.001 * mask.size]
        found.append(np.where(np.isin(parts, large), 255, 0).astype(np.uint8))
    return np.stack(found)


def keep_unchanged(video: Bytes, plate: Array, objects: Bytes) -> Bytes:
    """The pseudo background: the plate at objects and wherever it differs, the frame itself elsewhere, softly joined.

    Leaves, waves and sensor noise far from objects then stay what they are. [T, h, w, 3] uint8.
    """
    out = np.empty_like(video)
    for t, (frame, empty) in enumerate(zip(video.astype(np.float32), plate, strict=True)):
        smooth = np.abs(cv2.GaussianBlur(frame - empty, (0, 0), 2)).max(axis=-1)
        changed = np.clip((smooth - 2) / 3, 0, 1)
        changed[cv2.dilate(objects[t], np.ones((9, 9), np.uint8)) > 0] = 1
        share = cv2.GaussianBlur(cv2.dilate(changed.astype(np.float32), np.ones((5, 5), np.uint8)), (0, 0), 1)
        share = np.maximum(share, changed)[..., None]
        out[t] = (frame + share * (empty - frame) + 0.5).astype(np.uint8)
    return out


def pair_of(video: Bytes, *, name: str, rng: np.random.Generator, masks: Bytes | None = None) -> scenes.Scene:
    """A scene at base resolution from the static part of `video` [T, h, w, 3].

    masks: [T, h, w, N], or None to find one mask of everything that comes and goes.
    Raises BadVideo if the camera moves or nothing does.
    """
    given = None if masks is None else masks.max(axis=-1)
    run = static_stretch(video, objects=given)
    if len(run) < max(_SHORTEST, len(video) // 3):
        raise BadVideo(f"{name}: the camera moves; give footage from a tripod.")
    inside = slice(run.start, run.stop)
    clip = video[inside]
    objects = None if given is None else given[inside]
    grown = (
        None
        if objects is None
        else np.stack([np.asarray(cv2.dilate(m, np.ones((7, 7), np.uint8)), np.uint8) for m in objects])
    )
    plate = empty_plate(clip, grown)
    found = difference_masks(clip, plate)[..., None] if masks is None else masks[inside]
    if (found > 0).mean() < 0.001:
        raise BadVideo(f"{name}: nothing enters or leaves; give footage in which something does.")
    background = keep_unchanged(clip, plate, found.max(axis=-1))
    size = HEIGHT, WIDTH
    maps = augment.ken_burns(len(clip), source=(clip.shape[1], clip.shape[2]), size=size, rng=rng)
    return scenes.Scene(
        name=name,
        category="tripod",
        video=augment.move(clip, maps, size=size),
        masks=augment.move(found, maps, size=size, nearest=True),
        background=augment.move(background, maps, size=size),
        caption=captions.caption("a real place"),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path, nargs="+", metavar="VIDEO")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--masks", type=Path, action="append", default=[], help="one per object of the only VIDEO")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.masks and len(given.videos) > 1:
        parser.error("--masks belong to one video; give one VIDEO at a time")
    for number, path in enumerate(given.videos):
        try:
            video = read(path)
            masks = _masks(given.masks, frames=len(video)) if given.masks else None
            scene = pair_of(video, name=path.stem, rng=np.random.default_rng([given.seed, number]), masks=masks)
        except BadInput as error:
            print(f"left out: {error}")
            continue
        scenes.save(scene, given.out / f"{scene.name}.npz")
        print(f"{scene.name}: {len(scene.video)} frames, {scene.objects} objects")


def _masks(paths: list[Path], *, frames: int) -> Bytes:
    """Mask videos as [T, h, w, N] 0/255."""
    found = [np.where(read(path)[..., 0] > 127, 255, 0).astype(np.uint8) for path in paths]
    for path, mask in zip(paths, found, strict=True):
        if len(mask) != frames:
            raise BadMask(f"{path}: {len(mask)} frames, the video has {frames}; give a mask for every frame.")
    return np.stack(found, axis=-1)


if __name__ == "__main__":
    main()
