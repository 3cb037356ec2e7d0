"""A sampled scene as Blender objects: things with keyed poses, floor, wall, light and camera.

Knows nothing of passes and files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import bpy
from mathutils import Matrix, Vector

from training.data.kubric import materials, shapes
from training.data.kubric.physics import SENSOR_MM, Motion
from training.data.kubric.sampling import Spec, Surface, Thing


@dataclass(frozen=True)
class World:
    """What the passes need to reach. Frames run from 0."""

    scene: Any
    things: tuple[Any, ...]


def _link(name: str, data: Any) -> Any:
    made = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(made)
    return made


def _monkey() -> Any:
    """Blender's monkey, filling the same box as its stand-in in physics."""
    bpy.ops.mesh.primitive_monkey_add(size=1.0)
    made = bpy.context.object
    made.modifiers.new("smooth", "SUBSURF").render_levels = 1
    points = [vertex.co for vertex in made.data.vertices]
    low, high = ([pick(p[a] for p in points) for a in range(3)] for pick in (min, max))
    longest = max(h - lo for lo, h in zip(low, high, strict=True))
    middle = Vector([(h + lo) / 2 for lo, h in zip(low, high, strict=True)])
    made.data.transform(Matrix.Scale(1.0 / longest, 4) @ Matrix.Translation(-middle))
    made.data.shade_smooth()
    return made


def _mesh(thing: Thing, name: str) -> Any:
    if thing.kind == "monkey":
        return _monkey()
    shape = shapes.make(thing.kind)
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(shape.points.tolist(), [], shape.faces)
    if shape.smooth:
        mesh.shade_smooth()
    return _link(name, mesh)


def _thing(thing: Thing, *, index: int, motion: Motion) -> Any:
    made = _mesh(thing, f"thing {index}")
    made.data.materials.append(materials.make(f"skin {index}", thing.skin))
    made.scale = (thing.size,) * 3
    made.pass_index = index + 1
    made.rotation_mode = "QUATERNION"
    for frame in range(len(motion.places)):
        made.location = motion.places[frame, index]
        made.rotation_quaternion = motion.turns[frame, index]
        made.keyframe_insert("location", frame=frame)
        made.keyframe_insert("rotation_quaternion", frame=frame)
    return made


def _plane(name: str, *, size: float, surface: Surface) -> Any:
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([(-size, -size, 0), (size, -size, 0), (size, size, 0), (-size, size, 0)], [], [(0, 1, 2, 3)])
    mesh.materials.append(materials.make(name, surface))
    return _link(name, mesh)


def _set(spec: Spec) -> None:
    _plane("floor", size=8.0 * spec.radius, surface=spec.floor)
    if spec.wall is not None:
        wall = _plane("wall", size=8.0 * spec.radius, surface=spec.wall)
        away = 0.75 * spec.radius
        wall.location = (math.cos(spec.wall_angle) * away, math.sin(spec.wall_angle) * away, 0.0)
        wall.rotation_euler = (math.radians(90.0), 0.0, spec.wall_angle + math.radians(90.0))


def _light(spec: Spec) -> None:
    sun = bpy.data.lights.new("sun", "SUN")
    sun.energy, sun.angle, sun.color = spec.light.strength, spec.light.angle, spec.light.colour
    _link("sun", sun).rotation_euler = Vector(spec.light.towards).to_track_quat("-Z", "Y").to_euler()
    world = bpy.data.worlds.new("sky")
    materials.sky(world, spec.light)
    bpy.context.scene.world = world


def _camera(spec: Spec, motion: Motion) -> Any:
    data = bpy.data.cameras.new("camera")
    data.lens, data.sensor_width = spec.camera.focal_mm, SENSOR_MM
    data.clip_end = 1000.0
    camera = _link("camera", data)
    camera.rotation_mode = "QUATERNION"
    for frame, (eye, target) in enumerate(zip(motion.eyes, motion.targets, strict=True)):
        camera.location = eye
        camera.rotation_quaternion = Vector(target - eye).to_track_quat("-Z", "Y")
        camera.keyframe_insert("location", frame=frame)
        camera.keyframe_insert("rotation_quaternion", frame=frame)
    return camera


def build(spec: Spec, motion: Motion) -> World:
    """An empty Blender file turned into the scene."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 0, len(motion.places) - 1
    _set(spec)
    things = tuple(_thing(thing, index=index, motion=motion) for index, thing in enumerate(spec.things))
    _light(spec)
    scene.camera = _camera(spec, motion)
    return World(scene=scene, things=things)
