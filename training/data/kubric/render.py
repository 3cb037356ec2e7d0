"""Renders seeded scenes with all their variants into scene files (.npz); scenes that exist are kept.

    .venv-bpy/bin/python -m training.data.kubric.render --seeds 0:60 SCENES_DIR

A thing is removed by hiding it from every ray, so that shadow and reflection go with it, and every variant of a frame
is traced with the same random numbers: variants differ where the thing had an effect. Knows Cycles; scenes are
sampled in `sampling`, moved in `physics` and built in `world`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from training.blender import trace_paths
from training.data import scenes
from training.data.kubric import materials, physics, world
from training.data.kubric.pack import Passes, pack


@dataclass(frozen=True)
class Quality:
    """What a render costs: frames of width x height, paths per pixel, processor threads."""

    frames: int
    width: int
    height: int
    samples: int
    threads: int


def _set_up(scene: Any, *, quality: Quality) -> None:
    render, cycles = scene.render, scene.cycles
    render.engine = "CYCLES"
    render.resolution_x, render.resolution_y, render.resolution_percentage = quality.width, quality.height, 100
    render.threads_mode, render.threads = "FIXED", quality.threads
    render.use_persistent_data = True
    render.dither_intensity = 0.0
    trace_paths(cycles, samples=quality.samples)
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces, cycles.transmission_bounces = 4, 1, 2, 4
    scene.view_settings.view_transform = "Standard"
    render.image_settings.file_format = "PNG"
    render.image_settings.color_mode = "RGB"
    render.image_settings.color_depth = "8"


def _set_up_index(scene: Any) -> None:
    """One ray through the middle of each pixel, values written as they are."""
    scene.cycles.samples = 1
    scene.cycles.use_denoising = False
    scene.cycles.pixel_filter_type, scene.cycles.filter_width = "BOX", 0.01
    scene.cycles.max_bounces = 0
    bpy.context.view_layer.material_override = materials.index_and_distance()
    scene.world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0.0
    scene.render.image_settings.file_format = "OPEN_EXR"
    scene.render.image_settings.color_depth = "32"


def _pixels(path: Path) -> NDArray[np.float32]:
    """The image file as [H, W, 3], rows from the top, in the file's own values."""
    image = bpy.data.images.load(str(path), check_existing=False)
    width, height = image.size
    values = np.empty(width * height * image.channels, np.float32)
    image.pixels.foreach_get(values)
    rows = values.reshape(height, width, image.channels)[::-1, :, :3].copy()
    bpy.data.images.remove(image)
    return rows


class _Renderer:
    """Draws single frames of a world; counts them on a progress bar."""

    def __init__(self, made: world.World, *, folder: Path, seed: int, total: int) -> None:
        self._world, self._folder, self._seed, self._total = made, folder, seed, total
        self._done, self._since = 0, time.monotonic()

    def draw(self, shown: Collection[int], *, frame: int) -> NDArray[np.float32]:
        scene = self._world.scene
        for index, thing in enumerate(self._world.things):
            thing.hide_render = index not in shown
        scene.frame_set(frame)
        scene.cycles.seed = 1009 * self._seed + frame
        ending = "exr" if scene.render.image_settings.file_format == "OPEN_EXR" else "png"
        path = self._folder / f"frame.{ending}"
        scene.render.filepath = str(path)
        bpy.ops.render.render(write_still=True)
        self._tick()
        return _pixels(path)

    def _tick(self) -> None:
        self._done += 1
        bar = "#" * (30 * self._done // self._total)
        each = (time.monotonic() - self._since) / self._done
        sys.stderr.write(f"\rscene {self._seed} [{bar:30}] {self._done}/{self._total} renders, {each:.2f} s each ")
        sys.stderr.write("\n" if self._done == self._total else "")
        sys.stderr.flush()


def _bytes(images: list[NDArray[np.float32]]) -> NDArray[np.uint8]:
    return np.rint(255.0 * np.clip(np.stack(images), 0.0, 1.0)).astype(np.uint8)


def render_scene(seed: int, *, quality: Quality) -> scenes.Scene:
    """The scene of `seed` with all its variants. Raises ValueError if the seed gives no usable scene."""
    spec, motion = physics.plan(seed, frames=quality.frames, aspect=quality.width / quality.height)
    made = world.build(spec, motion)
    _set_up(made.scene, quality=quality)
    every, frames = range(len(spec.things)), range(quality.frames)
    # Of a single thing the solo is the video.
    variants: list[tuple[int, ...]] = [tuple(every), ()]
    variants += [(index,) for index in every] if len(every) > 1 else []
    with tempfile.TemporaryDirectory(prefix="kubric-") as folder:
        total = quality.frames * (len(variants) + 1)
        renderer = _Renderer(made, folder=Path(folder), seed=seed, total=total)
        beauty = [[renderer.draw(shown, frame=frame) for shown in variants] for frame in frames]
        _set_up_index(made.scene)
        flat = np.stack([renderer.draw(every, frame=frame) for frame in frames])
    video, background, *solos = (_bytes([images[k] for images in beauty]) for k in range(len(variants)))
    passes = Passes(
        video=video,
        background=background,
        solos=np.stack(solos or [video]),
        index=np.rint(flat[..., 0]).astype(np.int64),
        distance=flat[..., 1],
    )
    return pack(f"kubric-{seed:04d}", passes, order=physics.order(motion), caption=spec.caption)


def seeds(text: str) -> range:
    """`A:B` as the seeds A to B - 1."""
    first, _, last = text.partition(":")
    try:
        return range(int(first), int(last))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no range of seeds: write FIRST:LAST, such as 0:60") from None


def main() -> None:
    parser = argparse.ArgumentParser(description="Render Kubric-like scenes with all their variants.")
    parser.add_argument("out", type=Path, metavar="FOLDER", help="where kubric-SEED.npz are written")
    parser.add_argument("--seeds", type=seeds, default=range(60), help="FIRST:LAST (default 0:60; from 1000 held out)")
    parser.add_argument("--frames", type=int, default=16, help="frames a scene (default 16)")
    parser.add_argument("--size", type=int, nargs=2, default=(224, 128), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--samples", type=int, default=12, help="paths per pixel before denoising (default 12)")
    parser.add_argument("--threads", type=int, default=1, help="processor threads (default 1)")
    given = parser.parse_args()
    width, height = given.size
    quality = Quality(given.frames, width, height, samples=given.samples, threads=given.threads)
    for seed in given.seeds:
        path = given.out / f"kubric-{seed:04d}.npz"
        if not path.exists():
            scenes.save(render_scene(seed, quality=quality), path)


if __name__ == "__main__":
    main()
