"""The meshes of the things, computed here so that no asset has to be licensed.

Knows vertices and faces only; neither Blender nor physics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.blender import turned_faces

Points = NDArray[np.float64]
Profile = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Mesh:
    """A closed surface about the origin whose longest side is 1, standing upright along z.

    Attributes:
        points: [V, 3].
        faces: indices into the points, three or four a face.
        smooth: whether its faces shade as one surface.
    """

    points: Points
    faces: tuple[tuple[int, ...], ...]
    smooth: bool = True


def lathe(profile: Profile, *, segments: int = 40) -> Mesh:
    """The surface of revolution of `profile` (radius, height), listed from the bottom up."""
    angles = 2.0 * np.pi * np.arange(segments) / segments
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = np.concatenate([np.column_stack([ring * radius, np.full(segments, z)]) for radius, z in profile])
    return Mesh(points, tuple(turned_faces(len(profile), segments=segments)))


def sphere() -> Mesh:
    steps = np.linspace(-np.pi / 2, np.pi / 2, 21)
    return lathe([(max(float(np.cos(a)), 1e-4), float(np.sin(a))) for a in steps])


def box() -> Mesh:
    points = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float64)
    faces = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
    return Mesh(points, faces, smooth=False)


def torus(*, tube: float = 0.38, segments: int = 40, around: int = 20) -> Mesh:
    """A ring lying flat; `tube` is the tube's radius over the ring's."""
    turn = 2.0 * np.pi * np.arange(around + 1) / around
    return lathe([(1.0 + tube * float(np.cos(a)), tube * float(np.sin(a))) for a in turn], segments=segments)


def rock() -> Mesh:
    """A sphere pushed in and out by a few slow waves."""
    ball = sphere()
    x, y, z = ball.points.T
    swell = 1.0 + 0.16 * np.sin(3.1 * x + 1.0) * np.cos(2.3 * y) + 0.13 * np.sin(4.3 * z + 2.0 * y + 0.5)
    return Mesh(ball.points * swell[:, None] * np.array([1.0, 0.85, 0.7]), ball.faces)


def join(parts: Sequence[tuple[Mesh, tuple[float, float, float], tuple[float, float, float]]]) -> Mesh:
    """One mesh of several, each scaled and then moved."""
    points: list[Points] = []
    faces: list[tuple[int, ...]] = []
    for mesh, scale, move in parts:
        start = sum(len(p) for p in points)
        points.append(mesh.points * scale + move)
        faces += [tuple(start + i for i in face) for face in mesh.faces]
    return Mesh(np.concatenate(points), tuple(faces), smooth=all(mesh.smooth for mesh, _, _ in parts))


def _cylinder() -> Mesh:
    return lathe([(1e-4, -1.0), (0.96, -1.0), (1.0, -0.96), (1.0, 0.96), (0.96, 1.0), (1e-4, 1.0)])


def _cone() -> Mesh:
    return lathe([(1e-4, -1.0), (0.85, -1.0), (0.88, -0.96), (0.04, 1.0), (1e-4, 1.02)])


def _vase() -> Mesh:
    return lathe(
        [(1e-4, 0.0), (0.30, 0.0), (0.32, 0.05), (0.45, 0.3), (0.52, 0.6), (0.45, 0.95), (0.25, 1.25),
         (0.22, 1.4), (0.32, 1.55), (0.29, 1.55), (0.18, 1.4), (1e-4, 1.3)]
    )  # fmt: skip


def _pin() -> Mesh:
    return lathe(
        [(1e-4, 0.0), (0.17, 0.0), (0.25, 0.3), (0.29, 0.6), (0.24, 0.95), (0.13, 1.25), (0.14, 1.45),
         (0.18, 1.6), (0.15, 1.75), (0.08, 1.83), (1e-4, 1.85)]
    )  # fmt: skip


def _mushroom() -> Mesh:
    cap = lathe([(1e-4, 0.0), (0.8, 0.0), (0.86, 0.08), (0.8, 0.28), (0.55, 0.5), (0.25, 0.6), (1e-4, 0.62)])
    return join([(_cylinder(), (0.24, 0.24, 0.4), (0, 0, 0.4)), (cap, (1, 1, 1), (0, 0, 0.75))])


def _snowman() -> Mesh:
    return join([(sphere(), (r, r, r), (0, 0, z)) for r, z in ((0.55, 0.5), (0.4, 1.25), (0.27, 1.8))])


def _dumbbell() -> Mesh:
    ball, bar = sphere(), lathe([(0.2, -0.7), (0.2, 0.7)])
    lying = Mesh(bar.points[:, [2, 1, 0]], tuple(face[::-1] for face in bar.faces))
    return join([(ball, (0.45,) * 3, (-0.75, 0, 0)), (ball, (0.45,) * 3, (0.75, 0, 0)), (lying, (1, 1, 1), (0, 0, 0))])


def _stool() -> Mesh:
    legs = [(box(), (0.1, 0.1, 0.55), (x, y, 0.55)) for x in (-0.5, 0.5) for y in (-0.5, 0.5)]
    return join([*legs, (box(), (0.7, 0.7, 0.12), (0.0, 0.0, 1.2))])


def _car() -> Mesh:
    tyre = _cylinder()
    wheel = Mesh(tyre.points[:, [0, 2, 1]], tuple(face[::-1] for face in tyre.faces))
    wheels = [(wheel, (0.24, 0.1, 0.24), (x, y, 0.24)) for x in (-0.55, 0.55) for y in (-0.45, 0.45)]
    return join([*wheels, (box(), (1.0, 0.45, 0.22), (0, 0, 0.42)), (box(), (0.5, 0.38, 0.2), (-0.1, 0, 0.82))])


_MAKERS: dict[str, Callable[[], Mesh]] = {
    "ball": sphere,
    "box": box,
    "cone": _cone,
    "cylinder": _cylinder,
    "ring": torus,
    "rock": rock,
    "vase": _vase,
    "skittle": _pin,
    "mushroom": _mushroom,
    "snowman": _snowman,
    "dumbbell": _dumbbell,
    "stool": _stool,
    "toy car": _car,
    # Blender brings its mesh; here stands the box that it fills, which is what physics sees.
    "monkey": lambda: join([(box(), (0.98, 0.6, 0.72), (0.0, 0.0, 0.0))]),
}
KINDS = tuple(_MAKERS)


def make(kind: str) -> Mesh:
    """The mesh of one of `KINDS`. Raises KeyError for another name."""
    raw = _MAKERS[kind]()
    low, high = raw.points.min(axis=0), raw.points.max(axis=0)
    return Mesh((raw.points - (low + high) / 2) / float((high - low).max()), raw.faces, raw.smooth)
