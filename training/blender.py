"""What the rendered clips share (training/data/kubric/, training/sample_clip/). Importable without Blender."""

from __future__ import annotations

from typing import Any

Face = tuple[int, int, int, int]


def turned_faces(rings: int, *, segments: int) -> list[Face]:
    """Faces of a surface of revolution whose points are listed ring by ring, `segments` to a ring, bottom first."""
    return [
        (i * segments + k, i * segments + (k + 1) % segments, (i + 1) * segments + (k + 1) % segments,
         (i + 1) * segments + k)
        for i in range(rings - 1)
        for k in range(segments)
    ]  # fmt: skip


def trace_paths(cycles: Any, *, samples: int) -> None:
    """Let Cycles (a scene's settings) trace `samples` paths per pixel on the CPU and denoise what comes out."""
    cycles.device = "CPU"
    cycles.samples = samples
    cycles.use_adaptive_sampling = False
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.sample_clamp_indirect = 4.0
    cycles.use_denoising = True
    cycles.denoiser = "OPENIMAGEDENOISE"
    cycles.denoising_input_passes = "RGB_ALBEDO_NORMAL"
    cycles.denoising_prefilter = "FAST"
