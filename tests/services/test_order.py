"""The layer order: evidence beats depth, depth decides alone where nothing hides, and nothing flickers."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from services.order import agree, merge, per_frame, settle


def hides(frames: int, objects: int, front: int, behind: int, pixels: int = 400) -> np.ndarray:
    evidence = np.zeros((frames, objects, objects))
    evidence[:, behind, front] = pixels
    return evidence


def nothing(frames: int, objects: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full((frames, objects), np.nan), np.zeros((frames, objects, objects))


def test_what_hides_another_is_in_front():
    depth, _ = nothing(5, 2)
    assert (per_frame(depth, hides(5, 2, front=1, behind=0)) == [1, 0]).all()


def test_without_evidence_the_nearer_is_in_front():
    _, evidence = nothing(5, 2)
    depth = np.tile([0.2, 0.7], (5, 1))
    assert (per_frame(depth, evidence) == [1, 0]).all()


def test_evidence_beats_depth():
    depth = np.tile([0.2, 0.9], (5, 1))
    assert (per_frame(depth, hides(5, 2, front=0, behind=1)) == [0, 1]).all()


def test_with_nothing_to_tell_them_apart_job_order_holds():
    depth, evidence = nothing(4, 3)
    assert (per_frame(depth, evidence) == [0, 1, 2]).all()


def test_an_order_changes_where_the_clip_changes_it():
    depth, _ = nothing(40, 2)
    evidence = np.concatenate([hides(25, 2, front=0, behind=1), hides(15, 2, front=1, behind=0)])
    order = per_frame(depth, evidence)
    assert (order[:25] == [0, 1]).all() and (order[25:] == [1, 0]).all()


def test_a_change_between_sightings_falls_between_them():
    depth, evidence = nothing(40, 2)
    evidence[5:10, 1, 0] = 400  # 0 hides 1
    evidence[30:35, 0, 1] = 400  # 1 hides 0
    front = per_frame(depth, evidence)[:, 0]
    assert (front[:10] == 0).all() and (front[30:] == 1).all()
    assert np.count_nonzero(np.diff(front)) == 1


def test_a_wrong_frame_does_not_make_the_order_flicker():
    depth, _ = nothing(30, 2)
    evidence = hides(30, 2, front=0, behind=1)
    evidence[12] = hides(1, 2, front=1, behind=0)[0]
    assert (per_frame(depth, evidence) == [0, 1]).all()


def test_noisy_depth_does_not_make_the_order_flicker():
    _, evidence = nothing(60, 2)
    depth = np.stack([np.full(60, 0.5), 0.55 + np.random.default_rng(3).normal(0, 0.08, 60)], axis=1)
    assert np.count_nonzero(np.diff(per_frame(depth, evidence)[:, 0])) == 0


def test_a_circle_loses_its_weakest_pair():
    confidence = np.zeros((3, 3))
    confidence[0, 1], confidence[1, 2], confidence[2, 0] = 0.9, 0.8, 0.3
    assert merge(confidence).tolist() == [0, 1, 2]


def test_an_empty_clip_and_a_single_object_are_fine():
    assert per_frame(np.zeros((0, 2)), np.zeros((0, 2, 2))).shape == (0, 2)
    assert (per_frame(*nothing(3, 1)) == [[0], [0], [0]]).all()


@settings(max_examples=40)
@given(st.integers(1, 5), st.integers(1, 12), st.data())
def test_every_row_is_a_permutation(objects, frames, data):
    depth = data.draw(
        arrays(np.float32, (frames, objects), elements=st.one_of(st.floats(0, 1, width=32), st.just(np.nan)))
    )
    evidence = data.draw(arrays(np.int64, (frames, objects, objects), elements=st.integers(0, 5000)))
    order = per_frame(depth, evidence)
    assert (np.sort(order, axis=1) == np.arange(objects)).all()


@settings(max_examples=40)
@given(arrays(np.float64, st.integers(1, 60), elements=st.floats(-1.25, 1.25)), st.floats(0, 6))
def test_settling_is_optimal_and_symmetric(score, cost):
    front = settle(score, change_cost=cost)

    def worth(states: np.ndarray) -> float:
        return float(np.where(states, score, -score).sum() - cost * np.count_nonzero(np.diff(states)))

    assert worth(front) >= worth(score >= 0) - 1e-9
    assert worth(front) >= max(worth(np.ones(len(score), bool)), worth(np.zeros(len(score), bool))) - 1e-9
    assert abs(worth(front) - worth_of_mirror(score, cost)) < 1e-9


def worth_of_mirror(score: np.ndarray, cost: float) -> float:
    states = ~settle(-score, change_cost=cost)
    return float(np.where(states, score, -score).sum() - cost * np.count_nonzero(np.diff(states)))


@settings(max_examples=40)
@given(st.integers(2, 6).flatmap(lambda n: arrays(np.float64, (n, n), elements=st.floats(0, 1))))
def test_merging_keeps_the_surest_pair(confidence):
    np.fill_diagonal(confidence, 0)
    confidence = np.where(confidence > confidence.T, confidence, 0)
    order = merge(confidence).tolist()
    assert sorted(order) == list(range(len(confidence)))
    if confidence.max() > 0:
        i, j = np.unravel_index(confidence.argmax(), confidence.shape)
        assert order.index(int(i)) < order.index(int(j))


@settings(max_examples=60)
@given(st.integers(1, 6), st.data())
def test_agreeing_depths_follow_the_order_where_objects_meet_and_stay_elsewhere(objects, data):
    depth = data.draw(arrays(np.float32, objects, elements=st.one_of(st.floats(0, 1, width=32), st.just(np.nan))))
    met = data.draw(arrays(np.bool_, (objects, objects)))
    met = (met | met.T) & ~np.eye(objects, dtype=bool)
    order = np.array(data.draw(st.permutations(range(objects))))
    changed = agree(depth, order, met, margin=0.05)
    seen = ~np.isnan(depth)
    assert (np.isnan(changed) == ~seen).all() and (changed[seen] >= 0).all() and (changed[seen] <= 1).all()
    for place, i in enumerate(order):
        for j in order[place + 1 :]:
            if met[i, j] and seen[i] and seen[j]:
                assert changed[i] > changed[j] + 0.04
    alone = ~(met & seen[:, None] & seen[None, :]).any(axis=1)
    assert np.array_equal(changed[alone], depth[alone], equal_nan=True)


def test_a_spread_wider_than_the_whole_range_keeps_its_differences():
    met = ~np.eye(4, dtype=bool)
    changed = agree(np.array([1, 1, 0, 0], np.float32), np.arange(4), met, margin=0.05)
    assert np.allclose(changed, [1, 0.95, 0.05, 0])


def test_depths_that_agree_already_are_left_alone():
    depth = np.array([0.2, 0.8, 0.5], np.float32)
    assert np.allclose(agree(depth, np.array([1, 2, 0]), ~np.eye(3, dtype=bool), margin=0.05), depth)
