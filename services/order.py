"""Which object is in front of which, per frame. Pure functions on small arrays.

Two witnesses speak for each pair of objects. *Evidence*: pixels of one object, completed by the solver, that the other
object's visible mask covers in the input; what hides is in front. *Depth*: the objects' estimated depths, which is
vague but always there. Their sum is a score per frame; the sequence of "i in front" / "j in front" that agrees best
with the scores while paying for every change is found exactly, so an order changes where the clip makes it change and
nowhere else. Pairs are then merged into one order per frame, the surest first, skipping whatever would close a
circle.
Must not know: pixels, stages, or how depth was estimated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Order = NDArray[np.int64]

DEPTH_WEIGHT = 0.25
"""Weight of depth against evidence, both within -1..1: a clearly seen occlusion overrules any depth."""
DEPTH_SCALE = 0.05
"""Difference of depth (0..1) that counts as clear."""
CHANGE_COST = 3.0
"""Price of one change of a pair's order, in frames of certain evidence."""


def per_frame(
    depth: NDArray[np.floating], evidence: NDArray[np.number], *, enough: float = 32.0, change_cost: float = CHANGE_COST
) -> Order:
    """The order of the objects, front to back, in every frame.

    depth: [T, N], 0 far .. 1 near, NaN where an object is unseen.
    evidence: [T, N, N]; evidence[t, i, j] = pixels of i that j's visible mask covers, so j is in front of i.
    enough: pixels of evidence that convince half.
    Returns [T, N] indices of objects; each row is a permutation. With nothing to tell objects apart, job order.
    """
    frames, objects = depth.shape
    if not frames:
        return np.zeros((0, objects), dtype=np.int64)
    score = scores(depth, evidence, enough=enough)
    return np.stack([merge(frame) for frame in decide(score, change_cost=change_cost)])


def scores(depth: NDArray[np.floating], evidence: NDArray[np.number], *, enough: float) -> Floats:
    """[T, N, N] antisymmetric; positive: i is in front of j."""
    return witness(evidence, enough=enough) + DEPTH_WEIGHT * nearer(depth)


def witness(evidence: NDArray[np.number], *, enough: float) -> Floats:
    """[T, N, N] antisymmetric within -1..1 from pixels seen covered (see `per_frame`); positive: i is in front of j."""
    seen = evidence.astype(np.float64)
    hides = np.swapaxes(seen, 1, 2)  # [t, i, j] = pixels of j that i covers
    found: Floats = (hides - seen) / (hides + seen + enough)
    return found


def nearer(depth: NDArray[np.floating]) -> Floats:
    """[T, N, N] antisymmetric within -1..1; positive: i is nearer than j. Zero where one is unseen (NaN)."""
    difference = depth.astype(np.float64)[:, :, None] - depth.astype(np.float64)[:, None, :]
    vague: Floats = np.tanh(np.nan_to_num(difference, nan=0.0) / DEPTH_SCALE)
    return vague


def decide(score: Floats, *, change_cost: float) -> Floats:
    """[T, N, N] confidence (> 0 where i is in front of j, else 0), every pair settled over the whole clip.

    score: [T, N, N] antisymmetric; positive: i is in front of j.
    """
    objects = score.shape[1]
    confidence = np.zeros(score.shape)
    for i in range(objects):
        for j in range(i + 1, objects):
            front = settle(score[:, i, j], change_cost=change_cost)
            sure = _agreement(score[:, i, j], front)
            confidence[:, i, j] = np.where(front, sure, 0.0)
            confidence[:, j, i] = np.where(front, 0.0, sure)
    return confidence


def agree(depth: NDArray[np.float32], order: Order, met: NDArray[np.bool_], *, margin: float) -> NDArray[np.float32]:
    """One frame's depths [N], changed as little as keeps their values, so that they follow `order` where objects meet.

    depth: 0 far .. 1 near, NaN unseen. order: [N] front to back. met: [N, N] symmetric, which objects meet.
    margin: least difference between neighbours of a group. Objects that meet, directly or through others, exchange
    their depths among themselves and are spread by the margin; all others keep theirs.
    """
    result = depth.copy()
    for group in _groups(met & ~np.isnan(depth)[:, None] & ~np.isnan(depth)[None, :]):
        members = [k for k in order if k in group]
        values = np.sort(depth[members])[::-1].astype(np.float64)
        step = min(margin, 1 / len(members))
        spread = values.copy()
        for k in range(1, len(spread)):
            spread[k] = min(spread[k], spread[k - 1] - step)
        spread += values.mean() - spread.mean()
        spread += max(0.0, -float(spread[-1])) - max(0.0, float(spread[0]) - 1)
        # A spread wider than 0..1 is squeezed at both ends, and no difference falls below the step.
        places = np.arange(len(members))
        result[members] = np.clip(spread, places[::-1] * step, 1 - places * step)
    return result


def settle(score: Floats, *, change_cost: float) -> NDArray[np.bool_]:
    """For one pair: whether the first is in front, [T] bool, the best sequence under a price per change (Viterbi).

    score: [T], positive where the first seems in front. Ties go to the first.
    """
    if not len(score):
        return np.zeros(0, dtype=bool)
    gain = np.stack([score, -score], axis=1)  # column 0: the first in front
    best = gain[0].copy()
    came_from = np.zeros((len(score), 2), dtype=np.int64)
    for t in range(1, len(score)):
        stay, change = best, best[::-1] - change_cost
        came_from[t] = np.where(stay >= change, [0, 1], [1, 0])
        best = np.maximum(stay, change) + gain[t]
    state = 0 if best[0] >= best[1] else 1
    states = np.zeros(len(score), dtype=np.int64)
    for t in range(len(score) - 1, -1, -1):
        states[t] = state
        state = int(came_from[t, state])
    front: NDArray[np.bool_] = states == 0
    return front


def merge(confidence: Floats) -> Order:
    """One order, front to back, of N objects from pairwise confidences.

    confidence: [N, N]; [i, j] > 0 says i is in front of j. The surest pairs are kept first; one that would contradict
    those kept is dropped (Tideman's ranked pairs). Objects that nothing tells apart stay in job order.
    """
    objects = len(confidence)
    before = np.zeros((objects, objects), dtype=bool)  # transitive closure of the kept pairs
    pairs = [(i, j) for i in range(objects) for j in range(objects) if confidence[i, j] > 0]
    for i, j in sorted(pairs, key=lambda pair: (-confidence[pair], pair)):
        if not before[j, i]:
            above, below = before[:, i].copy(), before[j].copy()
            above[i] = below[j] = True
            before |= above[:, None] & below[None, :]
    order: list[int] = []
    while len(order) < objects:
        left = [k for k in range(objects) if k not in order]
        order.append(next(k for k in left if not any(before[other, k] for other in left)))
    return np.array(order, dtype=np.int64)


def _groups(met: NDArray[np.bool_]) -> list[set[int]]:
    """Sets of two or more objects connected by `met` [N, N]."""
    left = {int(k) for k in np.flatnonzero(met.any(axis=1))}
    groups = []
    while left:
        group, new = set[int](), {left.pop()}
        while new:
            group |= new
            new = {int(k) for k in np.flatnonzero(met[sorted(new)].any(axis=0))} - group
        left -= group
        if len(group) > 1:
            groups.append(group)
    return groups


def _agreement(score: Floats, front: NDArray[np.bool_]) -> Floats:
    """Mean agreement of the scores with the decision over each run of equal decisions, [T], kept above zero.

    One value per run, so that the merge of pairs cannot flicker within it.
    """
    signed = np.where(front, score, -score)
    runs = np.cumsum(np.concatenate([[0], np.diff(front.astype(np.int64)) != 0]))
    mean = np.bincount(runs, weights=signed) / np.bincount(runs)
    certain: Floats = np.maximum(mean, 1e-9)[runs]
    return certain
