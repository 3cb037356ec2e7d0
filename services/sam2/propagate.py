"""One step of tracking: from the masks of one frame to those of its neighbour in time.

The last outline, carried by optical flow, decides everywhere but near itself. There, and where something hidden may
come out, it is weighed against what pixels look like and whether they stay with the scene; a minimum cut draws the new
outline. Where two objects want a pixel, it goes to the one with the better odds, to the lower index where these are
equal. This module must not know about prompts, the order of frames, or files.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from services.sam2.appearance import SIGMA, Mask, Samples, describe, log_odds
from services.sam2.camera import Camera, FlowPair, inconsistency
from services.sam2.cut import edge_guide, minimum_cut
from services.sam2.frames import Float, WorkingClip
from services.sam2.track import Memory, Track, move, remember, settle, warped_mask

_CERTAIN = 4.0
_NOWHERE = -20.0
# Prior log-odds where a hidden part may come out: appearance decides.
_REVEALED = -0.4
# Where the flow contradicts itself something was uncovered, most often what lies behind the object.
_UNCOVERED = -0.8
_MANY_QUERIES = 7000
_KEEP_EVERY, _KEEP = 8, 3
RECENT_SAMPLES, KEPT_SAMPLES, FIRST_SAMPLES = 900, 250, 600


@dataclass(frozen=True)
class Step:
    """Everything about the new frame that does not depend on the object; maps are [h, w, ...] at working size."""

    source: int
    target: int
    flow: FlowPair  # forward: source to target
    uncovered: Float  # inconsistency of the flow, at the target
    reliable: Mask  # where the forward flow can be trusted, at the source
    lab: Float
    features: Float
    change: Float  # against the scene
    motion: Float  # against the camera


def make_step(
    clip: WorkingClip, camera: Camera, *, source: int, target: int, flow: FlowPair, ahead: Float | None
) -> Step:
    """`ahead`: [h, w, 2] flow from `target` to the frame after it in the sweep, or None at the end."""
    motion = camera.residual(flow.backward, target, source)
    if ahead is not None:
        # What is uncovered only just now has no true flow back, but one ahead.
        motion = np.minimum(motion, camera.residual(ahead, target, 2 * target - source))
    lab = clip.lab(target)
    return Step(
        source, target, flow,
        uncovered=inconsistency(flow.backward, flow.forward),
        reliable=inconsistency(flow.forward, flow.backward) < 1.0,
        lab=lab, features=describe(lab), change=camera.change(target), motion=motion,
    )  # fmt: skip


def advance(tracks: list[Track], step: Step, camera: Camera, *, fixed: Mask, random: np.random.Generator) -> None:
    """Move all `tracks` (changed in place) from `step.source` to `step.target`; none may enter `fixed` [h, w]."""
    for track in tracks:
        travelled = camera.displacement(track.centre, step.source, step.target)
        move(track, flow=step.flow.forward, reliable=step.reliable, camera=travelled)
    found = [_odds(track, [t for t in tracks if t is not track], step, fixed) for track in tracks]
    odds = [each for each, _ in found]
    masks = _without_specks(_share(odds, step))
    for index, (track, mask) in enumerate(zip(tracks, masks, strict=True)):
        others = np.logical_or.reduce([fixed, *(m for k, m in enumerate(masks) if k != index)])
        settle(track, mask, others=others, refused=odds[index] < -2)
        # What stays with the scene is never learned as the object: one mistake would confirm the next.
        clear = np.where((found[index][1] < -1) & (odds[index] > 0), 0, odds[index]).astype(np.float32)
        _learn(track, step, clear, random)


def _learn(track: Track, step: Step, odds: Float, random: np.random.Generator) -> None:
    memory = remember(track, step.features, odds=odds, size=RECENT_SAMPLES, random=random)
    if memory is None:
        return
    track.recent = memory
    if step.target % _KEEP_EVERY == 0 and track.mask.sum() > 0.4 * track.area:
        kept = remember(track, step.features, odds=odds, size=KEPT_SAMPLES, random=random)
        track.kept = (track.kept + ([kept] if kept else []))[-_KEEP:]


def _odds(track: Track, rivals: list[Track], step: Step, fixed: Mask) -> tuple[Float, Float]:
    """[h, w] log-odds of the object, certainly negative away from it; and the part of them that the scene gave."""
    distance = warped_mask(track, step.flow.backward)
    size = float(np.sqrt(max(track.mask.sum(), 100)))
    scene = _against_scene(distance, rivals, step)
    prior = np.clip(distance / np.clip(size / 40, 1.0, 2.5), -_CERTAIN, _CERTAIN)
    prior = np.where((prior > 0) & (step.uncovered > 1.5), _UNCOVERED, prior)
    prior = np.where((prior > 0) & (scene < -1.2), np.minimum(prior, 0.5), prior)
    revealed = track.hidden > 0.3
    prior = np.where(revealed, np.maximum(prior, _REVEALED), prior).astype(np.float32)
    band = float(np.clip(size / 9, 4, 9))
    doubtful = (distance > 0) & ((step.uncovered > 1.5) | (scene < -1.2))
    ask = ((np.abs(distance) <= band) | revealed | doubtful) & ~fixed
    odds = np.full(distance.shape, _NOWHERE, np.float32)
    if not ask.any():
        return odds, scene
    looks = np.where(distance > 0, _CERTAIN, -_CERTAIN).astype(np.float32)
    looks = _appearance(track, rivals, step, ask=ask, elsewhere=looks, size=size)
    window = _window((distance > -band) | revealed)
    odds[window] = (prior + looks + scene * (prior > -_CERTAIN + 0.1))[window]
    odds[fixed] = _NOWHERE
    return odds, scene


def _against_scene(distance: Float, rivals: list[Track], step: Step) -> Float:
    """[h, w] log-odds from staying with the scene or not, as far as the object as a whole does not.

    What stays with the scene is held against the object; what does not is only a weak hint for it (so do its shadow
    and whatever the flow smears along). A part at rest (a foot on the ground) still differs from the scene.
    """
    core, ring = distance > 1.5, (distance < -2) & (distance > -25)
    for rival in rivals:
        ring &= ~rival.mask
    change = _calibrated(step.change, core, ring, offset=1.0, low=-1.5, high=1.2)
    motion = _calibrated(step.motion, core, ring, offset=0.2, low=-2.5, high=0.2)
    return np.where((change > 0) & (motion < 0), change, change + motion).astype(np.float32)


def _calibrated(measure: Float, core: Mask, ring: Mask, *, offset: float, low: float, high: float) -> Float:
    if core.sum() < 30 or ring.sum() < 30:
        return np.zeros(measure.shape, np.float32)
    usual = float(np.percentile(measure[ring], 75))
    gain = np.clip((np.median(measure[core]) / (usual + offset) - 1.3) / 1.2, 0, 1)
    odds = 1.5 * np.log((measure + offset) / (1.6 * usual + offset))
    return (np.clip(odds, low, high) * gain).astype(np.float32)


def _appearance(track: Track, rivals: list[Track], step: Step, *, ask: Mask, elsewhere: Float, size: float) -> Float:
    """`elsewhere` with the log-odds from appearance filled in at `ask`, on every second pixel where there are many."""
    window = _window(ask)
    stride = 2 if ask.sum() > _MANY_QUERIES else 1
    sparse = (
        slice(window[0].start, window[0].stop, stride),
        slice(window[1].start, window[1].stop, stride),
    )
    wide = cv2.dilate(ask.astype(np.uint8), np.ones((3, 3), np.uint8)) if stride > 1 else ask.astype(np.uint8)
    asked = np.asarray(wide)[sparse] > 0
    rows, columns = np.nonzero(asked)
    places = np.stack([columns * stride + window[1].start, rows * stride + window[0].start], -1)
    # Places count so that about a fifth of the object's size weighs as much as a clear difference in colour.
    weight = SIGMA / float(np.clip(14 * size / 60, 8, 40))
    queries = Samples(step.features[sparse][asked], places.astype(np.float32), track.centre)
    coarse = elsewhere[sparse].copy()
    coarse[asked] = log_odds(
        queries.placed(queries.places, weight),
        inside=_recall(track, [], step, weight),
        outside=_recall(track, rivals, step, weight, outside=True),
        limit=3.0,
    )
    out = elsewhere.copy()
    shape = (window[1].stop - window[1].start, window[0].stop - window[0].start)
    full = coarse if stride == 1 else np.asarray(cv2.resize(coarse, None, fx=stride, fy=stride))
    out[window] = full[: shape[1], : shape[0]]
    return out


def _recall(track: Track, rivals: list[Track], step: Step, weight: float, *, outside: bool = False) -> Float:
    """[m, d + 2] remembered samples, each where it should be on the new frame; other objects are 'outside' too."""

    def side(memory: Memory) -> Samples:
        return memory.outside if outside else memory.inside

    parts = [np.zeros((0, step.features.shape[-1] + 2), np.float32)]
    if track.recent is not None:
        recent = side(track.recent)
        height, width = track.mask.shape
        index = np.clip(np.rint(recent.places).astype(int), 0, [width - 1, height - 1])
        parts.append(recent.placed(recent.places + step.flow.forward[index[:, 1], index[:, 0]], weight))
    for memory in track.first + track.kept:
        old = side(memory)
        parts.append(old.placed(old.places + (track.centre - old.centre), weight))
    for rival in rivals:
        for memory in rival.first + rival.kept:
            theirs = memory.inside
            parts.append(theirs.placed(theirs.places + (rival.centre - theirs.centre), weight))
    return np.concatenate(parts).astype(np.float32)


def _window(mask: Mask) -> tuple[slice, slice]:
    """The bounding rectangle of a non-empty mask with a small margin."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (
        slice(max(0, int(rows[0]) - 4), min(mask.shape[0], int(rows[-1]) + 5)),
        slice(max(0, int(columns[0]) - 4), min(mask.shape[1], int(columns[-1]) + 5)),
    )


def _share(odds: list[Float], step: Step) -> list[Mask]:
    """One minimum cut per object, then every pixel to the best of those that claim it."""
    cuts = []
    for each in odds:
        cut = np.zeros(each.shape, np.bool_)
        if (each > _NOWHERE).any():
            window = _window(each > _NOWHERE)
            cut[window] = minimum_cut(each[window], edge_guide(step.lab[window]), smoothness=2.5)
        cuts.append(cut)
    best = np.argmax(np.where(cuts, odds, _NOWHERE - 1), 0)
    return [cut & (best == index) for index, cut in enumerate(cuts)]


def _without_specks(masks: list[Mask]) -> list[Mask]:
    cleaned = []
    for mask in masks:
        count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
        if count > 1:
            areas = np.asarray(stats)[1:, cv2.CC_STAT_AREA]
            mask = np.isin(labels, 1 + np.flatnonzero(areas >= max(5, 0.004 * areas.max())))
        cleaned.append(mask)
    return cleaned
