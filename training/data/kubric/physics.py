"""How the things move: rigid bodies under gravity, simulated once with all of them.

The motion does not depend on which things are rendered later, so removing one leaves the others' motion as it is.
Knows pybullet (imported when it is needed) and nothing of rendering.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.kubric import shapes
from training.data.kubric.sampling import Camera, Spec, Thing, sample

Array = NDArray[np.float64]

RATE = 240
SENSOR_MM = 36.0


@dataclass(frozen=True)
class Motion:
    """Poses per frame and thing, and the camera's.

    Attributes:
        places: [T, N, 3], the middle of each thing's mesh.
        turns: [T, N, 4] quaternions, w first.
        eyes: [T, 3].
        targets: [T, 3], what the camera looks at.
    """

    places: Array
    turns: Array
    eyes: Array
    targets: Array


def _body(engine: Any, world: int, thing: Thing) -> int:
    hull = (shapes.make(thing.kind).points * thing.size).tolist()
    ball = thing.kind == "ball"
    shape = (
        engine.createCollisionShape(engine.GEOM_SPHERE, radius=thing.size / 2, physicsClientId=world)
        if ball
        else engine.createCollisionShape(engine.GEOM_MESH, vertices=hull, physicsClientId=world)
    )
    turn = engine.getQuaternionFromEuler((0.0, 0.0, thing.yaw))
    body = engine.createMultiBody(
        baseMass=0.0 if thing.fixed else 1.0,
        baseCollisionShapeIndex=shape,
        basePosition=thing.place,
        baseOrientation=turn,
        physicsClientId=world,
    )
    engine.changeDynamics(body, -1, lateralFriction=0.4, restitution=0.4, rollingFriction=0.002, physicsClientId=world)
    engine.resetBaseVelocity(body, thing.velocity, thing.spin, physicsClientId=world)
    return int(body)


def _glide(camera: Camera, frames: int) -> tuple[Array, Array]:
    t = np.linspace(0.0, 1.0, frames)[:, None]
    eased = 0.6 * t + 0.4 * t * t * (3.0 - 2.0 * t)
    (eye, eye_end), (target, target_end) = np.array(camera.places), np.array(camera.targets)
    return eye + eased * (eye_end - eye), target + eased * (target_end - target)


def simulate(spec: Spec, *, frames: int) -> Motion:
    """The motion of `spec` over `frames` at its frame rate. Raises ImportError without pybullet."""
    import pybullet as engine  # heavy, and absent where scenes are only read

    world = engine.connect(engine.DIRECT)
    try:
        engine.setGravity(0.0, 0.0, -9.81, physicsClientId=world)
        engine.setTimeStep(1.0 / RATE, physicsClientId=world)
        floor = engine.createCollisionShape(engine.GEOM_PLANE, physicsClientId=world)
        ground = engine.createMultiBody(0.0, floor, physicsClientId=world)
        engine.changeDynamics(ground, -1, lateralFriction=0.6, restitution=0.6, physicsClientId=world)
        bodies = [_body(engine, world, thing) for thing in spec.things]
        places, turns = np.zeros((frames, len(bodies), 3)), np.zeros((frames, len(bodies), 4))
        for frame in range(frames):
            for index, body in enumerate(bodies):
                place, (x, y, z, w) = engine.getBasePositionAndOrientation(body, physicsClientId=world)
                places[frame, index], turns[frame, index] = place, (w, x, y, z)
            for _ in range(round(RATE / spec.fps)):
                engine.stepSimulation(physicsClientId=world)
    finally:
        engine.disconnect(physicsClientId=world)
    return Motion(places, turns, *_glide(spec.camera, frames))


def project(points: Array, motion: Motion, *, focal_mm: float, aspect: float) -> tuple[Array, Array]:
    """Where world `points` [T, N, 3] are seen: [T, N, 2] in -1..1 when inside the frame, and their distance [T, N]."""
    ahead = motion.targets - motion.eyes
    ahead /= np.linalg.norm(ahead, axis=-1, keepdims=True)
    right = np.cross(ahead, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    up = np.cross(right, ahead)
    away = points - motion.eyes[:, None]
    x, y, z = (np.einsum("tnc,tc->tn", away, axis) for axis in (right, up, ahead))
    reach = 2.0 * focal_mm / SENSOR_MM
    depth = np.maximum(z, 1e-6)
    return np.stack([x * reach / depth, y * reach * aspect / depth], axis=-1), np.linalg.norm(away, axis=-1)


def usable(spec: Spec, motion: Motion, *, aspect: float) -> bool:
    """Whether every thing is seen in most frames, none starts inside another, and none hides another for good."""
    seen, distance = project(motion.places, motion, focal_mm=spec.camera.focal_mm, aspect=aspect)
    inside = (np.abs(seen) < (0.9, 0.8)).all(axis=-1)
    if inside.mean(axis=0).min() < 0.7 or distance.min() < 0.45 * spec.radius:
        return False
    for one in range(len(spec.things)):
        for other in range(one):
            reach = 0.55 * (spec.things[one].size + spec.things[other].size)
            if np.linalg.norm(motion.places[0, one] - motion.places[0, other]) < reach:
                return False
            if np.median(np.linalg.norm((seen[:, one] - seen[:, other]) / (1.0, aspect), axis=-1)) < 0.16:
                return False
    return True


def plan(seed: int, *, frames: int, aspect: float, attempts: int = 400) -> tuple[Spec, Motion]:
    """The first usable scene that `seed` gives, with its motion. Raises ValueError if `attempts` gave none."""
    for attempt in range(attempts):
        spec = sample(seed, frames=frames, attempt=attempt)
        motion = simulate(spec, frames=frames)
        if usable(spec, motion, aspect=aspect):
            return spec, motion
    raise ValueError(f"seed {seed} gave no usable scene in {attempts} attempts: take another seed")


def order(motion: Motion) -> NDArray[np.uint8]:
    """The things' indices from back to front [T, N] uint8, by the camera's distance to their middles."""
    distance = np.linalg.norm(motion.places - motion.eyes[:, None], axis=-1)
    return np.argsort(-distance, axis=1, kind="stable").astype(np.uint8)
