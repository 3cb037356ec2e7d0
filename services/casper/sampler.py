"""The denoising loop of compact Casper over a clip of any length.

The clip's current state x_t lives in a file-backed array, conditions are read per window: memory is bounded by one
window whatever the clip's length. The noise of a frame depends only on the seed and the frame's number, so the N+1
runs of a job start from the same noise (paper section 3.2), and so does the same clip with another object.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.casper.schedule import ddim_step, timesteps
from services.casper.windows import Window, blend_weights, blended, plan_windows

Video = NDArray[np.float32]


class Denoiser(Protocol):
    """See `services.casper.network.CompactCasper.forward`."""

    def __call__(self, noisy: Tensor, conditions: Tensor, t: Tensor, /) -> Tensor: ...


@dataclass(frozen=True)
class Sampling:
    """steps: denoising steps. window, overlap: frames. seed: of the initial noise."""

    steps: int = 1
    window: int = 16
    overlap: int = 4
    seed: int = 0


def frame_noise(frame: int, *, seed: int, height: int, width: int) -> Video:
    """Standard normal noise [h, w, 3] of one frame."""
    return np.random.default_rng([seed, frame]).standard_normal((height, width, 3), dtype=np.float32)


def sample(
    network: Denoiser,
    conditions: Callable[[Window], Tensor],
    *,
    shape: tuple[int, int, int],
    sampling: Sampling,
    on_window: Callable[[int, int], None],
) -> Iterator[tuple[int, Video]]:
    """Denoise a clip; yields (first frame, frames [t, h, w, 3] in 0..1) in order.

    conditions: for a window, the network's conditions [1, 8, t, h, w] in -1..1 (`network.stack_conditions`).
    shape: (T, h, w), h and w multiples of 16.
    on_window: called as (done, total) after each window of each step; may raise to stop.
    """
    frames, height, width = shape
    windows = plan_windows(frames, window=sampling.window, overlap=sampling.overlap)
    weights = blend_weights(windows)
    levels = timesteps(sampling.steps)
    total = sampling.steps * len(windows)
    with tempfile.TemporaryFile() as file:
        state = np.memmap(file, np.float16, "w+", shape=(frames, height, width, 3))
        for frame in range(frames):
            state[frame] = frame_noise(frame, seed=sampling.seed, height=height, width=width)
        for step, (t, following) in enumerate(itertools.pairwise(levels)):
            results = _denoised(network, conditions, state, windows, t=t, following=following)
            last = step + 1 == sampling.steps
            for done, (first, part) in enumerate(blended(windows, results, weights), start=1):
                on_window(step * len(windows) + done, total)
                if last:
                    yield first, np.clip((part + 1) / 2, 0, 1)
                else:
                    # Safe while later windows are still to come: none of them reads these frames.
                    state[first : first + len(part)] = part


def _denoised(
    network: Denoiser,
    conditions: Callable[[Window], Tensor],
    state: NDArray[np.float16],
    windows: tuple[Window, ...],
    *,
    t: float,
    following: float,
) -> Iterator[Video]:
    """Each window's frames of x_t taken to the level `following`."""
    for window in windows:
        noisy = _to_tensor(state[window.start : window.stop])
        clean = _predict(network, noisy, conditions(window), t)
        yield _to_video(ddim_step(noisy, clean, t=t, following=following))


@torch.inference_mode()
def _predict(network: Denoiser, noisy: Tensor, conditions: Tensor, t: float) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        clean = network(noisy, conditions, torch.full((1,), t))
    return clean.clamp(-1, 1)


def _to_tensor(video: NDArray[np.float16]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(video.transpose(3, 0, 1, 2), dtype=np.float32))[None]


def _to_video(tensor: Tensor) -> Video:
    return np.ascontiguousarray(tensor[0].permute(1, 2, 3, 0).numpy())
