"""Renders the bundled sample clip with its ground truth: input, background, one solo per object, masks.

Why: the demo needs a clip whose true answer is known and which anybody may ship. Every pass is the same
scene with objects hidden from everything (camera, shadow and reflection alike), so the difference of two
passes is an object with its effects, and a grey level of noise. This module knows Cycles and folders of PNG, no codec.

Two commands make the clip, from the root of the repository. Blender's module wants numpy < 2, so it lives
in an environment of its own; the second command runs in the project's:

    python3.11 -m venv .venv-bpy && .venv-bpy/bin/pip install 'bpy==4.5.15' 'numpy<2'
    .venv-bpy/bin/python -m training.sample_clip.render --out FRAMES_DIR
    .venv/bin/python -m training.sample_clip.pack --frames FRAMES_DIR --out samples/still_life

Seeds and settings are fixed: Blender of that version gives the same pixels again, to one grey level in 255.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from training.blender import trace_paths
from training.sample_clip import materials, scene

ID_COLOURS = {"vase": (1.0, 0.0, 0.0), "orange": (0.0, 1.0, 0.0)}


@dataclass(frozen=True)
class Quality:
    """What a render costs."""

    samples: int
    """Paths per pixel before denoising."""
    mask_samples: int
    """Camera rays per pixel of the mask pass; a mask is thresholded at half coverage."""
    threads: int
    """Processor threads."""
    percentage: int
    """Size of the frames in percent of 448x256, for previews."""


def _set_up(render: Any, *, quality: Quality) -> None:
    render.engine = "CYCLES"
    render.resolution_x, render.resolution_y = scene.WIDTH, scene.HEIGHT
    render.resolution_percentage = quality.percentage
    render.threads_mode, render.threads = "FIXED", quality.threads
    render.use_persistent_data = True
    render.image_settings.file_format = "PNG"
    render.image_settings.color_mode = "RGB"
    render.image_settings.color_depth = "8"
    # Blender dithers 8-bit output by default; codecs would spend their bits on it.
    render.dither_intensity = 0.0


def _beauty(target: Any, *, quality: Quality) -> None:
    """Path tracing with few bounces, denoised, through AgX."""
    cycles = target.cycles
    trace_paths(cycles, samples=quality.samples)
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 3, 1, 3
    cycles.seed = 7
    target.view_settings.view_transform = "AgX"
    target.view_settings.look = "AgX - Medium High Contrast"
    target.view_settings.exposure = 0.5


def _flat(still: scene.StillLife, *, quality: Quality) -> None:
    """Objects in their identity colours before black: the visible part of each, occlusion included."""
    cycles = still.scene.cycles
    cycles.samples = quality.mask_samples
    cycles.use_denoising = False
    cycles.max_bounces = 0
    still.scene.view_settings.view_transform = "Raw"
    still.scene.view_settings.look = "None"
    still.scene.view_settings.exposure = 0.0
    black = materials.emission("nothing", (0.0, 0.0, 0.0))
    for piece in still.set_pieces:
        piece.data.materials[0] = black
    for label, thing in still.objects.items():
        thing.data.materials[0] = materials.emission(f"id {label}", ID_COLOURS[label])
    still.scene.world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0.0


def _show(still: scene.StillLife, labels: tuple[str, ...]) -> None:
    for label, thing in still.objects.items():
        thing.hide_render = label not in labels


def _render(still: scene.StillLife, folder: Path, frames: range) -> None:
    """PNG frames 00000.png ... in `folder`; frames already there are kept, so a stopped render goes on."""
    folder.mkdir(parents=True, exist_ok=True)
    for frame in frames:
        path = folder / f"{frame:05d}.png"
        if path.exists():
            continue
        still.scene.frame_set(frame)
        still.scene.render.filepath = str(path)
        bpy.ops.render.render(write_still=True)


def render_all(out: Path, *, quality: Quality, frames: range, passes: tuple[str, ...]) -> None:
    """All wanted passes under `out`: input/, background/, solo_<label>/, masks/ (red vase, green orange)."""
    still = scene.build()
    _set_up(still.scene.render, quality=quality)
    _beauty(still.scene, quality=quality)
    wanted = {"input": scene.LABELS, "background": ()}
    wanted |= {f"solo_{label}": (label,) for label in scene.LABELS}
    for name, labels in wanted.items():
        if name in passes:
            _show(still, labels)
            _render(still, out / name, frames)
    if "masks" in passes:
        _show(still, scene.LABELS)
        _flat(still, quality=quality)
        _render(still, out / "masks", frames)


def main() -> None:
    every = ("input", "background", *(f"solo_{label}" for label in scene.LABELS), "masks")
    parser = argparse.ArgumentParser(description="Render the sample clip's frames and ground truth.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the PNG frames")
    parser.add_argument("--samples", type=int, default=10, help="paths per pixel (default 10)")
    parser.add_argument("--threads", type=int, default=1, help="processor threads (default 1)")
    parser.add_argument("--percentage", type=int, default=100, help="frame size in percent, for previews")
    parser.add_argument("--step", type=int, default=1, help="render every n-th frame only, for previews")
    parser.add_argument("--passes", nargs="+", choices=every, default=list(every))
    given = parser.parse_args()
    quality = Quality(samples=given.samples, mask_samples=9, threads=given.threads, percentage=given.percentage)
    frames = range(0, scene.FRAMES, given.step)
    render_all(given.out.resolve(), quality=quality, frames=frames, passes=tuple(given.passes))


if __name__ == "__main__":
    main()
