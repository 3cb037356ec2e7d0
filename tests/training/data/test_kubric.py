"""Rendered scenes, as far as they go without Blender: sampling, motion, packing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.data import scenes
from training.data.kubric import pack, physics, sampling, shapes

ASPECT = 224 / 128


@pytest.mark.parametrize("kind", shapes.KINDS)
def test_every_shape_is_of_unit_size_and_its_faces_are_there(kind: str) -> None:
    mesh = shapes.make(kind)
    low, high = mesh.points.min(axis=0), mesh.points.max(axis=0)
    assert (high - low).max() == pytest.approx(1.0)
    assert np.allclose(low + high, 0.0)
    assert {index for face in mesh.faces for index in face} == set(range(len(mesh.points)))


def test_a_seed_always_gives_the_same_scene_and_seeds_differ() -> None:
    assert sampling.sample(7, frames=12) == sampling.sample(7, frames=12)
    specs = [sampling.sample(seed, frames=12) for seed in range(20)]
    assert len({spec.floor.colours for spec in specs}) == 20
    assert sampling.sample(7, frames=12, attempt=1) != specs[7]


def test_scenes_keep_to_the_published_ranges_and_chances() -> None:
    specs = [sampling.sample(seed, frames=12) for seed in range(400)]
    for spec in specs:
        start, end = (np.array(place) for place in spec.camera.places)
        assert 5.0 <= np.linalg.norm(start) <= 15.0
        assert 35.0 <= spec.camera.focal_mm <= 45.0
        assert 1 <= len(spec.things) <= 6
        assert np.linalg.norm(end[:2] - start[:2]) <= 4.0
    assert np.mean([spec.wall is not None for spec in specs]) == pytest.approx(0.25, abs=0.08)
    reflecting = [bool(spec.floor.mirror) or spec.floor.coat == 1.0 for spec in specs]
    assert np.mean(reflecting) == pytest.approx(0.5, abs=0.08)
    still = [all(thing.fixed for thing in spec.things) for spec in specs]
    assert np.mean(still) == pytest.approx(0.5, abs=0.08)
    several = [spec for spec in specs if len(spec.things) > 1]
    alike = [len({thing.kind for thing in spec.things}) == 1 for spec in several]
    assert np.mean(alike) == pytest.approx(0.5, abs=0.1)


def test_planned_scenes_are_in_view_above_the_floor_and_the_same_again() -> None:
    pytest.importorskip("pybullet")
    for seed in range(3):
        spec, motion = physics.plan(seed, frames=6, aspect=ASPECT)
        again = physics.plan(seed, frames=6, aspect=ASPECT)
        assert again[0] == spec
        assert np.array_equal(again[1].places, motion.places)
        assert np.allclose(np.linalg.norm(motion.turns, axis=-1), 1.0)
        assert motion.places[..., 2].min() > 0.0
        seen, _ = physics.project(motion.places, motion, focal_mm=spec.camera.focal_mm, aspect=ASPECT)
        assert (np.abs(seen) < 1.0).all(axis=-1).mean(axis=0).min() >= 0.7


def test_fixed_things_rest_and_thrown_ones_move() -> None:
    pytest.importorskip("pybullet")
    specs = [sampling.sample(seed, frames=6) for seed in range(12)]
    for spec in specs:
        way = np.ptp(physics.simulate(spec, frames=6).places, axis=0).max(axis=-1)
        if all(thing.fixed for thing in spec.things):
            assert np.allclose(way, 0.0)
        elif any(np.linalg.norm(thing.velocity) > 0.5 for thing in spec.things):
            assert way.max() > 0.1
    assert {all(thing.fixed for thing in spec.things) for spec in specs} == {True, False}


def test_a_point_ahead_is_in_the_middle_and_the_nearest_thing_comes_last() -> None:
    eyes, targets = np.array([[0.0, -8.0, 1.0]]), np.array([[0.0, 0.0, 1.0]])
    places = np.array([[[0.0, -2.0, 1.0], [0.0, 0.0, 1.0], [2.0, 0.0, 2.0]]])
    motion = physics.Motion(places, np.zeros((1, 3, 4)), eyes, targets)
    seen, distance = physics.project(places, motion, focal_mm=40.0, aspect=ASPECT)
    assert np.allclose(seen[0, :2], 0.0)
    assert (seen[0, 2] > 0.0).all()
    assert distance[0, 0] == pytest.approx(6.0)
    assert physics.order(motion).tolist() == [[2, 1, 0]]


def _passes(*, objects: int = 2) -> pack.Passes:
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, size=(objects + 2, 2, 4, 6, 3), dtype=np.uint8)
    index = np.zeros((2, 4, 6), np.int64)
    index[:, 1, 2], index[:, 2, 3] = 1, 2
    distance = np.full((2, 4, 6), 8.0, np.float32)
    distance[:, 1, 2], distance[:, 0] = 2.0, 0.0
    return pack.Passes(images[0], images[1], images[2:], index, distance)


def test_a_packed_scene_has_all_truths_and_survives_the_disk(tmp_path: Path) -> None:
    passes = _passes()
    order = np.array([[1, 0], [1, 0]], np.uint8)
    made = pack.pack("kubric-0003", passes, order=order, caption="An empty floor.")
    scenes.save(made, tmp_path / "kubric-0003.npz")
    read = scenes.load(tmp_path / "kubric-0003.npz")
    assert (read.name, read.category, read.caption) == ("kubric-0003", "kubric", "An empty floor.")
    assert np.array_equal(read.truth([0, 1]), passes.video)
    assert np.array_equal(read.truth([]), passes.background)
    assert np.array_equal(read.truth([1]), passes.solos[1])
    assert read.masks.shape == (2, 4, 6, 2)
    assert read.masks[0, 1, 2].tolist() == [255, 0] and read.masks[0, 2, 3].tolist() == [0, 255]
    assert int((read.masks > 0).sum()) == 4
    assert read.depth is not None
    assert read.depth[0, 1, 2] == 255 and read.depth[0, 0, 0] == 0 and 0 < read.depth[0, 3, 3] < 255


def test_passes_of_different_length_are_refused() -> None:
    passes = _passes()
    short = pack.Passes(passes.video, passes.background[:1], passes.solos, passes.index, passes.distance)
    with pytest.raises(ValueError, match="render the scene again"):
        pack.pack("kubric-0003", short, order=np.zeros((2, 2), np.uint8), caption="")
