"""Clips with complete ground truth, made from photographs and cut-outs (paper section 3.4, Object-Paste with effects).

A scene is a photograph under a moving camera. Objects stand or move on it, each casting a soft shadow, a reflection, or
both. Because every effect is drawn by us, any subset of objects can be drawn with just its own effects: that gives the
input, the background and every solo video of the same clip.

All images are float32 0..1. `T` frames need not be equidistant in time: a caller asks for the times it wants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.assets import Assets, Image, load_cutout, load_photo

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Layer:
    """One object over time.

    Attributes:
        rgba: [T, h, w, 4], straight.
        shadow: [T, h, w, 3], what its shadow multiplies the light with (1 = no shadow).
        reflection: [T, h, w, 4], straight.
        depth: 0 far .. 1 near, [T].
    """

    rgba: Array
    shadow: Array
    reflection: Array
    depth: Array


@dataclass(frozen=True)
class Clip:
    """Ground truth of one clip; layers from back to front.

    Attributes:
        background: [T, h, w, 3], without any object or effect.
        layers: the objects.
        shadows_cover_objects: whether a shadow also darkens the objects behind.
        grain: [T, h, w, 3] sensor noise, the same in every variant.
        names: what each layer was cut out of; place: what the background was, "" for a made one.
    """

    background: Array
    layers: tuple[Layer, ...]
    shadows_cover_objects: bool = False
    grain: Array = field(default_factory=lambda: np.zeros((1, 1, 1, 3), np.float32))
    names: tuple[Path, ...] = ()
    place: Path | None = None

    def draw(self, subset: Sequence[int]) -> Array:
        """The video with only the objects `subset` and their effects: [T, h, w, 3]."""
        canvas: Array = self.background.copy()
        layers = [self.layers[i] for i in sorted(subset)]
        if not self.shadows_cover_objects:
            for layer in layers:
                canvas = _with_effects(canvas, layer)
        for layer in layers:
            if self.shadows_cover_objects:
                canvas = _with_effects(canvas, layer)
            canvas = _over(canvas, layer.rgba)
        return np.clip(canvas + self.grain, 0, 1).astype(np.float32)

    def visible(self, index: int) -> Array:
        """Visible part of object `index` in the full clip: alpha [T, h, w]."""
        alpha = self.layers[index].rgba[..., 3].copy()
        for front in self.layers[index + 1 :]:
            alpha *= 1 - front.rgba[..., 3]
        return alpha

    def cut(self, inside: slice) -> Clip:
        """Only the frames `inside`."""
        layers = tuple(Layer(*(part[inside] for part in vars(layer).values())) for layer in self.layers)
        return replace(self, background=self.background[inside], layers=layers, grain=self.grain[inside])


def _with_effects(canvas: Array, layer: Layer) -> Array:
    return _over(canvas * layer.shadow, layer.reflection)


def _over(canvas: Array, rgba: Array) -> Array:
    alpha = rgba[..., 3:]
    return rgba[..., :3] * alpha + canvas * (1 - alpha)


def synthesise(assets: Assets, rng: np.random.Generator, *, times: Array, height: int, width: int) -> Clip:
    """One random clip of 1-3 objects at the given `times` (in frames, increasing)."""
    place, photo = (None, _ground(rng)) if rng.random() < 0.2 else _background_photo(assets, rng)
    cameras = _camera(rng, times, photo.shape[:2], height, width)
    background = np.stack([_warp(photo, c, height, width, cv2.BORDER_REFLECT_101) for c in cameras])
    if rng.random() < 0.25:
        background = _ripple(background, rng, times)
    count = int(rng.choice([1, 2, 3], p=[0.35, 0.45, 0.2]))
    same = rng.random() < 0.2
    source, sprite = _sprite(assets, rng)
    light = _Light.random(rng)
    # Nearer objects stand lower in the picture and are drawn later.
    feet = np.sort(rng.uniform(0.45, 1.02, count)).astype(np.float32)
    layers, names = [], []
    for foot in feet:
        # Each is drawn right before it is placed: the order of random draws is what fixed seeds rest on.
        name, cutout = (source, sprite) if same else _sprite(assets, rng)
        layers.append(_layer(cutout, rng, times, cameras, light, foot, height, width))
        names.append(name)
    sigma = rng.choice([0.0, rng.uniform(0.002, 0.02)])
    grain = rng.normal(0, sigma, (len(times), height, width, 3)).astype(np.float32)
    cover = bool(rng.random() < 0.3)
    return Clip(background, tuple(layers), cover, grain, tuple(names), place)


def _background_photo(assets: Assets, rng: np.random.Generator) -> tuple[Path, Image]:
    path = assets.photos[rng.integers(len(assets.photos))]
    photo = load_photo(path)
    assert photo is not None
    if rng.random() < 0.5:
        photo = photo[:, ::-1]
    gamma = np.exp(rng.normal(0, 0.25))
    gain = np.exp(rng.normal(0, 0.12, 3)).astype(np.float32)
    return path, np.ascontiguousarray(np.clip(photo**gamma * gain, 0, 1).astype(np.float32))


def _ground(rng: np.random.Generator) -> Image:
    """Sand, asphalt, lawn: noise of several scales around one colour, under a plain sky or wall."""
    height, width = 360, 640
    noise = np.zeros((height, width), np.float32)
    for cell in (3, 8, 25, 80, 250):
        coarse = rng.normal(size=(height // cell + 2, width // cell + 2)).astype(np.float32)
        noise += rng.uniform(0.2, 1.0) * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    colours = rng.uniform(0.2, 0.95, (2, 3)).astype(np.float32)
    contrast = rng.uniform(0.01, 0.08)
    ground = colours[0] * (1 + contrast * noise[..., None] * rng.uniform(0.8, 1.2, 3))
    horizon = int(height * rng.uniform(-0.2, 0.5))
    if horizon > 0:
        ground[:horizon] = colours[1] * (1 + 0.3 * contrast * noise[:horizon, :, None])
    return np.clip(ground, 0, 1).astype(np.float32)


def _smooth_path(rng: np.random.Generator, times: Array, *, amount: float, wobble: float) -> Array:
    """A smooth random scalar path: a drift plus two slow sines, zero at the middle."""
    t = (times - times.mean()) / 60
    path = amount * rng.normal() * t
    for frequency in rng.uniform(0.5, 4, 2):
        path = path + wobble * rng.normal() * np.sin(2 * np.pi * (frequency * t + rng.random()))
    return np.asarray(path, np.float32)


def _camera(
    rng: np.random.Generator, times: Array, photo: tuple[int, ...], height: int, width: int
) -> list[NDArray[np.float64]]:
    """Per frame, the affine map from photo to frame pixels (2x3): pan, zoom, roll, hand shake."""
    ph, pw = photo[:2]
    fit = max(height / ph, width / pw)
    base = fit * np.exp(rng.uniform(0.0, 0.9))
    static = rng.random() < 0.2
    scale = 0.0 if static else 1.0
    pan_x = scale * _smooth_path(rng, times, amount=40, wobble=4)
    pan_y = scale * _smooth_path(rng, times, amount=8, wobble=2)
    zoom = np.exp(scale * _smooth_path(rng, times, amount=0.12, wobble=0.01))
    roll = scale * _smooth_path(rng, times, amount=0.03, wobble=0.008)
    cx, cy = rng.uniform(0.3, 0.7) * pw, rng.uniform(0.4, 0.7) * ph
    maps = []
    for x, y, z, r in zip(pan_x, pan_y, zoom, roll, strict=True):
        s = base * z
        c, sn = s * np.cos(r), s * np.sin(r)
        maps.append(
            np.array(
                [
                    [c, -sn, width / 2 + x - c * cx + sn * cy],
                    [sn, c, height / 2 + y - sn * cx - c * cy],
                ]
            )
        )
    return maps


def _warp(image: Image, matrix: NDArray[np.float64], height: int, width: int, border: int) -> Array:
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if scale < 0.6:
        # Shrink first: warpAffine does not filter.
        factor = max(scale, 0.1)
        image = np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.float32)
        matrix = matrix @ np.diag([1 / factor, 1 / factor, 1])
    warped = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=border)
    return np.asarray(warped, np.float32)


def _ripple(video: Array, rng: np.random.Generator, times: Array) -> Array:
    """Moving waves in the lower part: a background that is not static."""
    _, height, width, _ = video.shape
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    weight = np.clip((ys / height - rng.uniform(0.2, 0.7)) * 4, 0, 1)
    amplitude, wavelength, speed = rng.uniform(0.3, 1.5), rng.uniform(6, 25), rng.uniform(0.02, 0.2)
    out = np.empty_like(video)
    for i, t in enumerate(times):
        phase = 2 * np.pi * (ys / wavelength + speed * t) + xs * rng.uniform(0.05, 0.06)
        shift = amplitude * weight * np.sin(phase)
        out[i] = cv2.remap(video[i], xs + shift, ys + 0.5 * shift, cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT_101)
    return out


@dataclass(frozen=True)
class _Light:
    """The scene's one light: how shadows fall and how the ground reflects.

    `shear` and `length`: where the shadow of an object's top falls, sideways and along the ground, in object heights.
    """

    shear: float
    length: float
    darkness: float
    tint: tuple[float, float, float]
    softness: float
    mirror: float
    mirror_blur: float
    mirror_ripple: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> _Light:
        kind = rng.choice(["shadow", "mirror", "both", "none"], p=[0.46, 0.14, 0.38, 0.02])
        dark = rng.uniform(0.25, 0.8) if kind in ("shadow", "both") else 0.0
        return cls(
            shear=float(rng.uniform(-1.1, 1.1)),
            length=float(rng.uniform(0.05, 0.6) * rng.choice([1, -1], p=[0.6, 0.4])),
            darkness=float(dark),
            tint=tuple(rng.uniform(0.8, 1.0, 3)),
            softness=float(rng.choice([rng.uniform(0.3, 1.0), rng.uniform(0.5, 4)])),
            mirror=float(rng.uniform(0.15, 0.7)) if kind in ("mirror", "both") else 0.0,
            mirror_blur=float(rng.uniform(0.3, 2.0)),
            mirror_ripple=float(rng.choice([0.0, rng.uniform(0.3, 1.5)])),
        )


def _sprite(assets: Assets, rng: np.random.Generator) -> tuple[Path, Image]:
    """A cut-out's file and RGBA; sometimes its silhouette filled with a photograph, so that shape and texture vary
    freely."""
    path = assets.cutouts[rng.integers(len(assets.cutouts))]
    rgba = load_cutout(path)
    assert rgba is not None
    rgba = rgba[:, ::-1].copy() if rng.random() < 0.5 else rgba.copy()
    height, width = rgba.shape[:2]
    if rng.random() < 0.25:
        photo = load_photo(assets.photos[rng.integers(len(assets.photos))])
        assert photo is not None
        y, x = rng.integers(photo.shape[0] - height), rng.integers(max(1, photo.shape[1] - width))
        patch = photo[y : y + height, x : x + width]
        rgba[: patch.shape[0], : patch.shape[1], :3] = patch
    rgba[..., :3] = np.clip(rgba[..., :3] ** np.exp(rng.normal(0, 0.25)) * np.exp(rng.normal(0, 0.12, 3)), 0, 1)
    return path, rgba


def _layer(
    sprite: Image,
    rng: np.random.Generator,
    times: Array,
    cameras: Sequence[NDArray[np.float64]],
    light: _Light,
    foot: float,
    height: int,
    width: int,
) -> Layer:
    sh = sprite.shape[0]
    size = height * rng.uniform(0.2, 0.62) * (0.6 + 0.5 * foot) / sh
    stationary = rng.random() < 0.3
    moving = 0.0 if stationary else 1.0
    # Position on the ground in the frame of the middle camera, carried along by the camera like the background.
    x = width * rng.uniform(0.15, 0.85) + moving * _smooth_path(rng, times, amount=55, wobble=3)
    y = height * foot + moving * _smooth_path(rng, times, amount=5, wobble=1.5)
    lift = height * rng.uniform(0, 0.12) if rng.random() < 0.25 else 0.0
    bounce = moving * np.abs(_smooth_path(rng, times, amount=0, wobble=2)) + lift
    tilt = moving * _smooth_path(rng, times, amount=0.1, wobble=0.06)
    grow = np.exp(moving * _smooth_path(rng, times, amount=0.1, wobble=0.02))
    sway = moving * _smooth_path(rng, times, amount=0, wobble=0.04)

    middle = _square(cameras[len(cameras) // 2])
    frames: list[tuple[Array, Array, Array]] = []
    for i, camera in enumerate(cameras):
        ground = (_square(camera) @ np.linalg.inv(middle)) @ np.array([x[i], y[i], 1.0])
        zoom = np.sqrt(np.linalg.det(camera[:, :2]) / np.linalg.det(middle[:2, :2]))
        pose = _Pose(float(ground[0]), float(ground[1]), float(size * zoom * grow[i]), float(tilt[i]), float(sway[i]))
        frames.append(
            (
                _place(sprite, pose, height, width, up=float(bounce[i])),
                _shadow(sprite, pose, light, height, width, lift=float(bounce[i])),
                _reflection(sprite, pose, light, height, width, lift=float(bounce[i]), time=float(times[i])),
            )
        )
    rgba, shadow, reflection = (np.stack(part) for part in zip(*frames, strict=True))
    depth = np.asarray(y / height, np.float32)
    return Layer(rgba, shadow, reflection, np.clip(depth, 0, 1))


@dataclass(frozen=True)
class _Pose:
    x: float
    y: float
    scale: float
    tilt: float
    sway: float


def _square(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.vstack([affine, [0, 0, 1]])


def _sprite_map(sprite: Image, pose: _Pose, *, up: float, shear: float, squash: float) -> NDArray[np.float64]:
    """Affine map from sprite to frame: its foot (bottom centre) goes to (x, y - up); `squash` < 0 flips it
    downwards."""
    sh, sw = sprite.shape[:2]
    c, s = np.cos(pose.tilt), np.sin(pose.tilt)
    upright = np.array([[c, -s + pose.sway], [s, c]]) * pose.scale
    ground = np.array([[1.0, -shear], [0.0, squash]])
    linear = ground @ upright
    offset = np.array([pose.x, pose.y - up]) - linear @ np.array([sw / 2, sh * 0.97])
    return np.hstack([linear, offset[:, None]])


def _premultiplied(sprite: Image) -> Image:
    return np.concatenate([sprite[..., :3] * sprite[..., 3:], sprite[..., 3:]], axis=-1)


def _place(sprite: Image, pose: _Pose, height: int, width: int, *, up: float) -> Array:
    matrix = _sprite_map(sprite, pose, up=up, shear=0, squash=1)
    warped = _warp(_premultiplied(sprite), matrix, height, width, cv2.BORDER_CONSTANT)
    warped[..., :3] /= np.maximum(warped[..., 3:], 1e-3)
    return np.clip(warped, 0, 1)


def _shadow(sprite: Image, pose: _Pose, light: _Light, height: int, width: int, *, lift: float) -> Array:
    if light.darkness == 0:
        return np.ones((height, width, 3), np.float32)
    matrix = _sprite_map(sprite, pose, up=-0.2 * lift, shear=light.shear, squash=light.length)
    sharp = _warp(np.ascontiguousarray(sprite[..., 3]), matrix, height, width, cv2.BORDER_CONSTANT)
    alpha = cv2.GaussianBlur(sharp, (0, 0), max(light.softness + 0.15 * lift, 0.3))
    return np.asarray(1 - light.darkness * alpha[..., None] * np.array(light.tint), np.float32)


def _reflection(
    sprite: Image, pose: _Pose, light: _Light, height: int, width: int, *, lift: float, time: float
) -> Array:
    if light.mirror == 0:
        return np.zeros((height, width, 4), np.float32)
    matrix = _sprite_map(sprite, pose, up=-lift, shear=0, squash=-1)
    warped: NDArray[Any] = _warp(_premultiplied(sprite), matrix, height, width, cv2.BORDER_CONSTANT)
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    if light.mirror_ripple:
        shift = light.mirror_ripple * np.sin(ys * 0.9 + time * 0.3)
        warped = cv2.remap(warped, xs + shift, ys, cv2.INTER_LINEAR)
    warped = cv2.GaussianBlur(warped, (0, 0), light.mirror_blur)
    rgb = warped[..., :3] / np.maximum(warped[..., 3:], 1e-3)
    fade = np.clip(1 - (ys - pose.y) / (0.6 * height), 0, 1) * (ys > pose.y - 2)
    alpha = warped[..., 3] * light.mirror * fade
    return np.clip(np.concatenate([rgb, alpha[..., None]], axis=-1), 0, 1).astype(np.float32)
