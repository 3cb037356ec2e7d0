"""From prompts to one mask track per object, over the whole clip and in both directions of time.

The compact profile's tracker: classical vision, nothing trained. The clip is tracked at working size; masks are
enlarged when they are read. A sweep forward takes every object from its first prompted frame to the end, a sweep
backward from its last one to the start; a frame between two prompted frames takes the mask that came from the nearer
one. A pixel belongs to one object at most (`services.sam2.propagate` has the rule). This module must not know about
stores and stages. Generative Omnimatte section 3.2 leaves this step to SAM 2; the production profile does that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from services.errors import Cancelled
from services.prompts import Prompt
from services.sam2.camera import Camera, dense_flow, fit_motion
from services.sam2.frames import Byte, FrameSource, WorkingClip
from services.sam2.prompts import check_prompts
from services.sam2.seed import Hint
from services.sam2.sweep import Hints, follow, glance, unpack

__all__ = ["Prompt", "Tracks", "preview", "track"]


class Tracks:
    """The result: `tracks[t]` is the masks of frame t, [H, W, N] uint8 0/255, no pixel in two of them.

    Masks are kept compressed at working size and enlarged on reading, so that a long large clip fits in memory.
    """

    def __init__(
        self, labels: Sequence[bytes], *, working: tuple[int, int], full: tuple[int, int], objects: int
    ) -> None:
        self._labels = labels
        self._working = working
        self.shape = (len(labels), *full, objects)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, t: int) -> Byte:
        labels = unpack(self._labels[t], self._working)
        height, width, objects = self.shape[1:]
        if (height, width) == self._working:
            return np.dstack([np.where(labels == k + 1, 255, 0) for k in range(objects)]).astype(np.uint8)
        # Enlarging a softened mask gives a smooth outline instead of the working pixels' stairs.
        grown = []
        for k in range(-1, objects):
            soft = np.asarray(cv2.GaussianBlur((labels == k + 1).astype(np.float32), (0, 0), 0.7))
            grown.append(np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_CUBIC)))
        best = np.argmax(grown, 0)
        return np.dstack([np.where(best == k + 1, 255, 0) for k in range(objects)]).astype(np.uint8)


def track(
    frames: FrameSource,
    prompts: Sequence[Prompt],
    *,
    labels: Sequence[str],
    on_progress: Callable[[int, int], None],
    cancelled: Callable[[], bool],
) -> Tracks:
    """Follow every object through the clip.

    Args:
        frames: the clip, RGB uint8 or uint16, [T, H, W, 3].
        prompts: at least a box or a positive point for every object, in pixels of the full-size frames.
        labels: the objects' names, for messages; prompts number them from 0 in that order.
        on_progress: called with (done, total) steps.
        cancelled: polled between frames.

    Returns:
        The masks. An object that is out of sight has an empty mask there.

    Raises:
        BadPrompt: a prompt cannot be meant for this clip.
        Cancelled: `cancelled` said so.
    """
    check_prompts(prompts, shape=tuple(frames.shape), labels=labels)
    length = int(frames.shape[0])
    at = sorted({p.frame for p in prompts})
    # Reading, the camera's path, the sweep forward and the sweep backward.
    total = length + (length - 1) + (length - at[0]) + at[-1]
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        on_progress(min(done, total), total)
        if cancelled():
            raise Cancelled("tracking the objects was cancelled; send the job again to start over.")

    clip = WorkingClip(frames, each=lambda _: tick())
    camera = Camera(clip, _camera_motions(clip, tick))
    hints = _hints(prompts, clip, height=int(frames.shape[1]), width=int(frames.shape[2]))
    full = (int(frames.shape[1]), int(frames.shape[2]))
    found = follow(clip, camera, hints, objects=len(labels), tick=tick)
    return Tracks(found, working=(clip.height, clip.width), full=full, objects=len(labels))


def preview(frames: FrameSource, prompts: Sequence[Prompt], *, frame: int, labels: Sequence[str]) -> Byte:
    """Masks [H, W, N] uint8 0/255 of frame `frame`, as `track` begins with them for the same prompts there.

    Args:
        frames: that frame and some around it, from which it is told what moves; RGB uint8 or uint16, [T, H, W, 3].
        prompts: all on that frame; as for `track`.
    """
    check_prompts(prompts, shape=tuple(frames.shape), labels=labels)
    clip = WorkingClip(frames, each=lambda _: None)
    camera = Camera(clip, _camera_motions(clip, lambda: None))
    full = (int(frames.shape[1]), int(frames.shape[2]))
    hints = _hints(prompts, clip, height=full[0], width=full[1])
    found = glance(clip, camera, hints, objects=len(labels), frame=frame)
    return Tracks([found], working=(clip.height, clip.width), full=full, objects=len(labels))[0]


def _camera_motions(clip: WorkingClip, tick: Callable[[], None]) -> list[NDArray[np.float64]]:
    motions = []
    before = clip.grey(0)
    for t in range(1, clip.length):
        after = clip.grey(t)
        motions.append(fit_motion(dense_flow(before, after, fast=True)))
        before = after
        tick()
    return motions


def _hints(prompts: Sequence[Prompt], clip: WorkingClip, *, height: int, width: int) -> Hints:
    """The prompts by frame and object, in working pixels."""
    across, down = clip.width / width, clip.height / height
    hints: dict[int, dict[int, Hint]] = {}
    for prompt in prompts:
        old = hints.setdefault(prompt.frame, {}).get(prompt.object, Hint(None))
        hints[prompt.frame][prompt.object] = _with(old, prompt, across, down, clip)
    return hints


def _with(hint: Hint, prompt: Prompt, across: float, down: float, clip: WorkingClip) -> Hint:
    if prompt.box is not None:
        x0, y0, x1, y1 = prompt.box
        left, top = min(int(x0 * across), clip.width - 1), min(int(y0 * down), clip.height - 1)
        right, bottom = max(left + 1, math.ceil(x1 * across)), max(top + 1, math.ceil(y1 * down))
        box = (left, top, min(right, clip.width), min(bottom, clip.height))
        if hint.box is not None:  # two boxes on one frame: parts of the object
            old = hint.box
            box = (min(old[0], box[0]), min(old[1], box[1]), max(old[2], box[2]), max(old[3], box[3]))
        return replace(hint, box=box)
    x, y = prompt.point or (0.0, 0.0)
    spot = (min(int(x * across), clip.width - 1), min(int(y * down), clip.height - 1))
    return replace(hint, on=(*hint.on, spot)) if prompt.positive else replace(hint, off=(*hint.off, spot))
