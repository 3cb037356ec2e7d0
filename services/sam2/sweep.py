"""The order in which frames are visited, and which visit counts.

Forward from the first prompted frame to the end, then backward from the last one to the start. This module must not
know how a step is taken or how a mask is found on a prompted frame.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping

import numpy as np

from services.sam2.appearance import Mask, describe
from services.sam2.camera import Camera, FlowPair, dense_flow, flow_between
from services.sam2.frames import Byte, Float, WorkingClip
from services.sam2.propagate import FIRST_SAMPLES, RECENT_SAMPLES, advance, make_step
from services.sam2.seed import Hint, View, seed_mask
from services.sam2.track import Track, remember, start_track

Hints = Mapping[int, Mapping[int, Hint]]  # frame -> object -> prompts
# Flow over these many frames tells what moves on a prompted frame; short gaps see little, long ones lose track.
_GAPS = (-4, -2, 2, 4)
# On a prompted frame nothing is known yet that would tell a shadow from the object.
_DARKER = 0.4
# A box covered this much by other objects is taken for the whole extent of an object that is mostly hidden.
_COVERED = 0.4


def follow(clip: WorkingClip, camera: Camera, hints: Hints, *, objects: int, tick: Callable[[], None]) -> list[bytes]:
    """One packed label map per frame (see `unpack`): 0 nothing, k + 1 object k."""
    sweep = _Sweep(clip, camera, hints, objects, tick)
    sweep.forward()
    sweep.backward()
    return sweep.labels


def glance(clip: WorkingClip, camera: Camera, hints: Hints, *, objects: int, frame: int) -> bytes:
    """The packed label map of one prompted frame as its own prompts give it, without a look at where tracks lead."""
    return _Sweep(clip, camera, hints, objects, lambda: None).glance(frame)


def unpack(labels: bytes, size: tuple[int, int]) -> Byte:
    """[h, w] uint8 label map."""
    return np.frombuffer(zlib.decompress(labels), np.uint8).reshape(size)


def _pack(labels: Byte) -> bytes:
    return zlib.compress(labels.tobytes(), 1)


class _Sweep:
    """Both sweeps over one clip: the tracks as they are at the latest frame, and the labels found so far."""

    def __init__(self, clip: WorkingClip, camera: Camera, hints: Hints, objects: int, tick: Callable[[], None]) -> None:
        self._clip, self._camera, self._hints, self._tick = clip, camera, hints, tick
        self._size = (clip.height, clip.width)
        self._tracks: dict[int, Track] = {}
        self._random = np.random.default_rng(0)
        self._anchors = [sorted(t for t in hints if k in hints[t]) for k in range(objects)]
        self.labels = [_pack(np.zeros(self._size, np.uint8))] * clip.length

    def glance(self, t: int) -> bytes:
        self._seed(t)
        return _pack(self._merge(np.zeros(self._size, np.uint8), list(self._tracks)))

    def forward(self) -> None:
        flow: FlowPair | None = None
        for t in range(min(self._hints), self._clip.length):
            if flow is not None:
                flow = self._step(t - 1, t, flow, fixed=np.zeros(self._size, np.bool_))
            else:
                flow = self._flow(t, t + 1)
            self._seed(t)
            self.labels[t] = _pack(self._merge(np.zeros(self._size, np.uint8), list(self._tracks)))
            self._tick()

    def backward(self) -> None:
        known = {k: track.first for k, track in self._tracks.items()}
        self._tracks = {}
        flow: FlowPair | None = None
        for t in range(max(self._hints), -1, -1):
            stored = unpack(self.labels[t], self._size)
            if flow is not None:
                absent = [k for k in known if k not in self._tracks]
                flow = self._step(t + 1, t, flow, fixed=np.isin(stored, [k + 1 for k in absent]))
            else:
                flow = self._flow(t, t - 1)
            counts = [k for k in self._tracks if self._nearer_after(k, t)]
            base = np.where(np.isin(stored, [k + 1 for k in counts]), 0, stored).astype(np.uint8)
            self.labels[t] = _pack(self._merge(base, counts))
            for k in self._hints.get(t, {}):
                self._restart(t, k, stored == k + 1, stored)
                self._tracks[k].first = known[k]
            if t < max(self._hints):
                self._tick()

    def _nearer_after(self, k: int, t: int) -> bool:
        """Whether the prompted frame of object k that is nearest to t (not on it) comes after t."""
        after = [a - t for a in self._anchors[k] if a >= t]
        before = [t - a for a in self._anchors[k] if a <= t]
        return bool(after) and min(after) > 0 and (not before or min(after) < min(before))

    def _flow(self, here: int, there: int) -> FlowPair | None:
        if not 0 <= there < self._clip.length:
            return None
        return flow_between(self._clip.grey(here), self._clip.grey(there))

    def _step(self, source: int, target: int, flow: FlowPair, *, fixed: Mask) -> FlowPair | None:
        """Advance the tracks; gives the flow to the frame after `target` in the sweep's direction."""
        ahead = self._flow(target, 2 * target - source)
        if self._tracks:
            step = make_step(
                self._clip, self._camera, source=source, target=target, flow=flow,
                ahead=None if ahead is None else ahead.forward,
            )  # fmt: skip
            advance(list(self._tracks.values()), step, self._camera, fixed=fixed, random=self._random)
        return ahead

    def _merge(self, labels: Byte, counts: list[int]) -> Byte:
        """`labels` with the masks of the tracks in `counts` where it is empty."""
        for k in counts:
            labels[self._tracks[k].mask & (labels == 0)] = k + 1
        return labels

    def _seed(self, t: int) -> None:
        """Start or correct the tracks of the objects prompted on frame t: large boxes first, points last."""
        hints = self._hints.get(t, {})
        if not hints:
            return
        usual = self._camera.change(t, quantile=0.5, darker=_DARKER)
        view = View(self._clip.lab(t), self._camera.change(t, darker=_DARKER), usual, self._motion(t))
        taken = np.zeros(self._size, np.bool_)
        for k, track in self._tracks.items():
            if k not in hints:
                taken |= track.mask
        found: dict[int, Mask] = {}
        for k in sorted(hints, key=lambda k: -_box_area(hints[k])):
            before = self._tracks.get(k)
            known = before.mask if before is not None and before.mask.any() and hints[k].box is None else None
            found[k] = seed_mask(view, hints[k], taken=taken, known=known)
            for other in found.keys() - {k}:
                found[other] &= ~found[k]
            taken |= found[k]
        labels = np.zeros(self._size, np.uint8)
        for k, mask in found.items():
            labels[mask] = k + 1
        for k, track in self._tracks.items():
            if k not in hints:
                track.mask = track.mask & (labels == 0)
                labels[track.mask] = k + 1
        for k, mask in found.items():
            self._restart(t, k, mask, labels)

    def _restart(self, t: int, k: int, mask: Mask, labels: Byte) -> None:
        """Begin the track of object k anew from its mask on frame t; what it has learned so far stays."""
        before = self._tracks.get(k)
        track = start_track(mask, extent=self._hidden_extent(self._hints[t][k], mask, labels))
        features = describe(self._clip.lab(t))
        if before is not None:
            track.first, track.kept, track.velocity = before.first, before.kept, before.velocity
        first = remember(track, features, odds=None, size=FIRST_SAMPLES, random=self._random)
        track.first = track.first + ([first] if first else [])
        track.recent = remember(track, features, odds=None, size=RECENT_SAMPLES, random=self._random)
        self._tracks[k] = track

    def _hidden_extent(self, hint: Hint, mask: Mask, labels: Byte) -> Mask | None:
        if hint.box is None:
            return None
        x0, y0, x1, y1 = hint.box
        extent = np.zeros(self._size, np.bool_)
        extent[y0:y1, x0:x1] = True
        covered = ((labels > 0) & ~mask & extent).sum() / extent.sum()
        return extent if covered > _COVERED else None

    def _motion(self, t: int) -> Float:
        """[h, w] how fast each pixel of frame t moves against the camera, by the most modest of several gaps."""
        here = self._clip.grey(t)
        measured = [
            self._camera.residual(dense_flow(here, self._clip.grey(t + gap)), t, t + gap) / np.sqrt(abs(gap))
            for gap in _GAPS
            if 0 <= t + gap < self._clip.length
        ]
        return np.min(measured, 0).astype(np.float32) if measured else np.zeros(self._size, np.float32)


def _box_area(hint: Hint) -> float:
    return 0.0 if hint.box is None else float((hint.box[2] - hint.box[0]) * (hint.box[3] - hint.box[1]))
