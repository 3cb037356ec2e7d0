"""What a scene is made of, drawn from its seed with the published chances (paper App. B, Kubric).

Lengths are metres, colours linear RGB. Knows neither Blender nor the physics engine.
"""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass

import numpy as np

from training.data.kubric import shapes

Vec3 = tuple[float, float, float]

FLOORS = ("checker", "noise", "voronoi", "planks", "bricks", "marble")
SKINS = ("plain", "plain", "noise", "checker", "voronoi", "stripes")


@dataclass(frozen=True)
class Surface:
    """A material: a pattern of two colours, and how it answers light (all 0..1)."""

    pattern: str
    colours: tuple[Vec3, Vec3]
    scale: float
    roughness: float
    metallic: float = 0.0
    transmission: float = 0.0
    coat: float = 0.0
    mirror: float = 0.0


@dataclass(frozen=True)
class Thing:
    """One object at the first frame. `fixed` things never move, whatever hits them."""

    kind: str
    size: float
    skin: Surface
    place: Vec3
    yaw: float
    velocity: Vec3
    spin: Vec3
    fixed: bool


@dataclass(frozen=True)
class Light:
    """A sun of a diameter in radians, and the sky. `towards` is where the sun shines to."""

    towards: Vec3
    angle: float
    strength: float
    colour: Vec3
    sky: tuple[Vec3, Vec3]
    sky_strength: float


@dataclass(frozen=True)
class Camera:
    """A camera that moves smoothly between two places while it looks from one point to another."""

    places: tuple[Vec3, Vec3]
    targets: tuple[Vec3, Vec3]
    focal_mm: float


@dataclass(frozen=True)
class Spec:
    """Everything about a scene but the motion that physics gives it; `radius` is the camera's distance."""

    seed: int
    radius: float
    fps: int
    things: tuple[Thing, ...]
    floor: Surface
    wall: Surface | None
    wall_angle: float
    light: Light
    camera: Camera
    caption: str


def _colour(rng: np.random.Generator, *, saturation: tuple[float, float], value: tuple[float, float]) -> Vec3:
    r, g, b = colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(*saturation), rng.uniform(*value))
    return r, g, b


def _skin(rng: np.random.Generator) -> Surface:
    colours = (
        _colour(rng, saturation=(0.3, 0.95), value=(0.25, 0.9)),
        _colour(rng, saturation=(0.0, 0.9), value=(0.05, 0.9)),
    )
    return Surface(
        pattern=str(rng.choice(SKINS)),
        colours=colours,
        scale=rng.uniform(2.5, 7.0),
        roughness=rng.uniform(0.08, 0.7),
        metallic=rng.uniform(0.8, 1.0) if rng.uniform() < 0.2 else 0.0,
        transmission=rng.uniform(0.6, 1.0) if rng.uniform() < 0.07 else 0.0,
        coat=rng.uniform(0.3, 1.0) if rng.uniform() < 0.4 else 0.0,
    )


def _floor(rng: np.random.Generator, *, radius: float) -> tuple[Surface, str]:
    """The floor and its adjective: half of them reflect, as a mirror or as a wet floor."""
    hue, saturation, value = rng.uniform(), rng.uniform(0.0, 0.6), rng.uniform(0.25, 0.75)
    first = colorsys.hsv_to_rgb(hue, saturation, value)
    second = colorsys.hsv_to_rgb((hue + rng.uniform(-0.1, 0.1)) % 1.0, saturation, value * rng.uniform(0.25, 0.7))
    kind = float(rng.uniform())
    gloss = {"mirror": rng.uniform(0.25, 0.6)} if kind < 0.25 else {"coat": 1.0} if kind < 0.5 else {}
    surface = Surface(
        pattern=str(rng.choice(FLOORS)),
        colours=(first, second),
        scale=rng.uniform(0.5, 1.6) * 8.0 / radius,
        roughness=rng.uniform(0.45, 0.9),
        **gloss,
    )
    return surface, "mirroring" if kind < 0.25 else "wet" if kind < 0.5 else "dry"


def _light(rng: np.random.Generator, *, view: float, wall: bool) -> tuple[Light, str]:
    """A small sun or a wide one; a quarter of the scenes is nearly dark. `view` is the camera's azimuth."""
    hard, dark = rng.uniform() < 0.5, rng.uniform() < 0.25
    # With a wall at the back the sun must stand on the camera's side, or everything would lie in the wall's shadow.
    azimuth = view + rng.uniform(-1.2, 1.2) if wall else rng.uniform(0.0, 2.0 * math.pi)
    height = math.radians(rng.uniform(24.0, 60.0))
    towards = (-math.cos(azimuth) * math.cos(height), -math.sin(azimuth) * math.cos(height), -math.sin(height))
    warm = _colour(rng, saturation=(0.0, 0.35), value=(1.0, 1.0))
    dim = rng.uniform(0.04, 0.10) if dark else 1.0
    sky = (
        _colour(rng, saturation=(0.0, 0.5), value=(0.5, 1.0)),
        _colour(rng, saturation=(0.0, 0.5), value=(0.3, 1.0)),
    )
    angle = math.radians(rng.uniform(0.5, 3.0) if hard else rng.uniform(15.0, 35.0))
    light = Light(
        towards=towards,
        angle=angle,
        strength=rng.uniform(3.0, 5.0) * dim,
        colour=warm,
        sky=sky,
        sky_strength=rng.uniform(0.2, 0.5) * dim,
    )
    return light, f"{'hard' if hard else 'soft'} {'low ' if dark else ''}light"


def _camera(rng: np.random.Generator, *, radius: float, azimuth: float) -> Camera:
    """Somewhere on a sphere about the scene, and a glide of at most 4 m at the published largest radius."""
    height = math.radians(rng.uniform(14.0, 38.0))
    start = radius * np.array(
        [math.cos(azimuth) * math.cos(height), math.sin(azimuth) * math.cos(height), math.sin(height)]
    )
    way = rng.normal(size=3) * (1.0, 1.0, 0.4)
    way *= rng.uniform(0.0, min(4.0, 0.3 * radius)) / float(np.linalg.norm(way))
    end = start + way
    end[2] = max(end[2], 0.2 * radius)
    targets = [(*(rng.uniform(-0.04, 0.04, size=2) * radius), 0.05 * radius) for _ in range(2)]
    return Camera(_pair(start, end), _pair(*targets), rng.uniform(35.0, 45.0))


def _vec(values: object) -> Vec3:
    x, y, z = (float(v) for v in np.asarray(values).ravel())
    return x, y, z


def _pair(first: object, second: object) -> tuple[Vec3, Vec3]:
    return _vec(first), _vec(second)


def _things(rng: np.random.Generator, *, radius: float, seconds: float) -> tuple[Thing, ...]:
    """One to six things, few more often, aimed so that they are near the middle at half time."""
    count = int(rng.choice([1, 2, 3, 4, 5, 6], p=[0.16, 0.34, 0.32, 0.10, 0.05, 0.03]))
    alike, still = rng.uniform() < 0.5, rng.uniform() < 0.5
    kind, skin, size = str(rng.choice(shapes.KINDS)), _skin(rng), rng.uniform(0.15, 0.24)
    things = []
    for _ in range(count):
        if not alike:
            kind, skin, size = str(rng.choice(shapes.KINDS)), _skin(rng), rng.uniform(0.13, 0.24)
        elif rng.uniform() < 0.4:
            skin = _skin(rng)
        rests = still or (count > 1 and rng.uniform() < 0.25)
        heading, speed = rng.uniform(0.0, 2.0 * math.pi), rng.uniform(0.08, 0.3) * radius
        velocity = np.array([math.cos(heading), math.sin(heading), 0.0]) * (0.0 if rests else speed)
        middle = np.append(rng.uniform(-0.22, 0.22, size=2) * radius, 0.0)
        lift = 0.0 if rests or rng.uniform() < 0.5 else rng.uniform(0.02, 0.2) * radius
        size_m = size * radius
        half = -float(shapes.make(kind).points[:, 2].min()) * size_m
        place = middle - velocity * 0.45 * seconds + (0.0, 0.0, half + lift)
        spin = np.zeros(3) if rests else rng.uniform(-3.0, 3.0, size=3)
        things.append(
            Thing(kind, size_m, skin, _vec(place), rng.uniform(0.0, 2 * math.pi), _vec(velocity), _vec(spin), still)
        )
    return tuple(things)


def sample(seed: int, *, frames: int, attempt: int = 0) -> Spec:
    """The scene of `seed`; `attempt` draws another one where physics showed that the first cannot be used."""
    rng = np.random.default_rng([seed, attempt])
    radius = rng.uniform(5.0, 15.0)
    fps = int(rng.choice([8, 10, 12]))
    azimuth = rng.uniform(0.0, 2.0 * math.pi)
    things = _things(rng, radius=radius, seconds=frames / fps)
    floor, gloss = _floor(rng, radius=radius)
    wall = _floor(rng, radius=radius)[0] if rng.uniform() < 0.25 else None
    light, mood = _light(rng, view=azimuth, wall=wall is not None)
    backdrop = "before a wall" if wall is not None else "in the open"
    return Spec(
        seed=seed,
        radius=radius,
        fps=fps,
        things=things,
        floor=floor,
        wall=wall,
        wall_angle=azimuth + math.pi + rng.uniform(-0.35, 0.35),
        light=light,
        camera=_camera(rng, radius=radius, azimuth=azimuth),
        caption=f"An empty {gloss} {floor.pattern} floor {backdrop} in {mood}.",
    )
