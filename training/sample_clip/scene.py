"""The still life of the sample clip: a table, a vase, an orange that rolls past behind it, a panning camera.

Why: the clip has to hold, in two seconds, what the service is about: two objects with shadow and reflection,
one occluding the other, seen by a moving camera. This module places things and animates them; it knows
nothing of passes, folders or codecs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import bpy
from mathutils import Matrix, Vector

from training.blender import turned_faces
from training.sample_clip import materials

FRAMES = 48
FPS = 24
WIDTH, HEIGHT = 448, 256
LABELS = ("vase", "orange")

VASE_HEIGHT = 1.55
# (radius, height) from the foot, up the outside, over the lip and down into the neck.
VASE_PROFILE = (
    (0.00, 0.00), (0.21, 0.00), (0.225, 0.03), (0.23, 0.08), (0.30, 0.24), (0.40, 0.46), (0.455, 0.68),
    (0.45, 0.86), (0.37, 1.04), (0.235, 1.18), (0.165, 1.29), (0.155, 1.38), (0.19, 1.47), (0.245, 1.535),
    (0.25, 1.55), (0.235, 1.55), (0.17, 1.47), (0.13, 1.38), (0.14, 1.28), (0.20, 1.16),
)  # fmt: skip
ORANGE_RADIUS = 0.38
ORANGE_Y = 0.95
ORANGE_X = (-1.55, 1.75)


@dataclass(frozen=True)
class StillLife:
    """What the passes need to reach: the objects by label, everything else, and the scene."""

    scene: Any
    objects: dict[str, Any]
    set_pieces: tuple[Any, ...]


def _ease(t: float) -> float:
    """A hand-like glide: it neither starts nor stops on a single frame, yet is moving on all of them."""
    return 0.65 * t + 0.35 * t * t * (3.0 - 2.0 * t)


def _lathe(name: str, profile: tuple[tuple[float, float], ...], *, segments: int = 96) -> Any:
    """A surface of revolution about z, closed at the first profile point."""
    vertices = [
        (r * math.cos(a), r * math.sin(a), z)
        for r, z in profile
        for a in (2.0 * math.pi * k / segments for k in range(segments))
    ]
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(vertices, [], turned_faces(len(profile), segments=segments))
    mesh.shade_smooth()
    return _link(name, mesh)


def _link(name: str, data: Any) -> Any:
    thing = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(thing)
    return thing


def _quad(name: str, corners: tuple[tuple[float, float, float], ...], material: Any) -> Any:
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(corners, [], [(0, 1, 2, 3)])
    mesh.materials.append(material)
    return _link(name, mesh)


def _vase() -> Any:
    vase = _lathe("vase", VASE_PROFILE)
    smooth = vase.modifiers.new("smooth", "SUBSURF")
    smooth.levels = smooth.render_levels = 2
    vase.data.materials.append(materials.glazed_vase(VASE_HEIGHT))
    return vase


def _orange() -> Any:
    """A slightly flattened ball; its axis is tilted so that the stalk wanders while it rolls."""
    bpy.ops.mesh.primitive_uv_sphere_add(segments=96, ring_count=48, radius=ORANGE_RADIUS)
    orange = bpy.context.object
    orange.name = "orange"
    orange.data.shade_smooth()
    orange.data.transform(Matrix.Diagonal((1.0, 1.0, 0.985, 1.0)))
    orange.data.materials.append(materials.orange_peel())
    orange.rotation_mode = "QUATERNION"
    tilt = Matrix.Rotation(math.radians(62.0), 4, "X") @ Matrix.Rotation(math.radians(25.0), 4, "Y")
    for frame in range(FRAMES):
        x = ORANGE_X[0] + (ORANGE_X[1] - ORANGE_X[0]) * _ease(frame / (FRAMES - 1))
        roll = Matrix.Rotation((x - ORANGE_X[0]) / ORANGE_RADIUS, 4, "Y")
        orange.location = (x, ORANGE_Y, ORANGE_RADIUS)
        orange.rotation_quaternion = (roll @ tilt).to_quaternion()
        orange.keyframe_insert("location", frame=frame)
        orange.keyframe_insert("rotation_quaternion", frame=frame)
    return orange


def _camera() -> Any:
    """A slow pan to the right with a slight dolly in; keyed on every frame."""
    data = bpy.data.cameras.new("camera")
    data.lens = 46.0
    camera = _link("camera", data)
    camera.rotation_mode = "QUATERNION"
    for frame in range(FRAMES):
        t = _ease(frame / (FRAMES - 1))
        camera.location = (-0.25 + 0.35 * t, -6.9 + 0.35 * t, 2.05 - 0.08 * t)
        target = Vector((-0.30 + 0.95 * t, 0.3, 0.34))
        aim = (target - camera.location).to_track_quat("-Z", "Y")
        camera.rotation_quaternion = aim
        camera.keyframe_insert("location", frame=frame)
        camera.keyframe_insert("rotation_quaternion", frame=frame)
    return camera


def _light(scene: Any) -> None:
    """A warm low sun from behind on the left, so that shadows fall to the right and towards the viewer."""
    sun = bpy.data.lights.new("sun", "SUN")
    sun.energy = 5.0
    sun.angle = math.radians(5.0)
    sun.color = (1.0, 0.80, 0.58)
    lamp = _link("sun", sun)
    towards = Vector((0.86, -0.42, -0.66))
    lamp.rotation_euler = towards.to_track_quat("-Z", "Y").to_euler()
    world = bpy.data.worlds.new("sky")
    world.use_nodes = True
    background = world.node_tree.nodes["Background"]
    background.inputs["Color"].default_value = (0.55, 0.70, 1.0, 1.0)
    background.inputs["Strength"].default_value = 0.42
    scene.world = world


def build() -> StillLife:
    """An empty Blender file turned into the still life; frames run from 0 to FRAMES - 1."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 0, FRAMES - 1
    scene.render.fps = FPS
    table = _quad(
        "table", ((-9.0, -8.0, 0.0), (9.0, -8.0, 0.0), (9.0, 3.6, 0.0), (-9.0, 3.6, 0.0)),
        materials.wet_wood(),
    )  # fmt: skip
    # The hedge's texture is two-dimensional in the object's x and y, so it is built lying and then stood up.
    garden = _quad(
        "garden", ((-16.0, -5.0, 0.0), (16.0, -5.0, 0.0), (16.0, 9.0, 0.0), (-16.0, 9.0, 0.0)),
        materials.blurred_garden(1.0),
    )  # fmt: skip
    garden.location.y = 11.0
    garden.rotation_euler.x = math.radians(90.0)
    objects = {"vase": _vase(), "orange": _orange()}
    scene.camera = _camera()
    _light(scene)
    return StillLife(scene=scene, objects=objects, set_pieces=(table, garden))
