"""Video-Depth-Anything-Small: windows of 32 frames, tied to each other by key frames (Chen et al., 2025).

Published for temporal consistency: nothing is smoothed afterwards.
Must not know: artifacts or stages.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.checkpoint.files import open_checkpoint
from services.checkpoint.loading import load_into
from services.depth.large import images, video_windows
from services.depth.large.device import Place, best_place
from services.depth.large.estimator import Clip, Size, Watch
from services.depth.large.video_names import converted
from services.depth.large.video_network import SMALL, VideoDepthNetwork, Widths

Floats = NDArray[np.float32]

LONGEST = 16 / 9
"""Beyond this aspect the short side shrinks, as the authors advise for memory's sake."""


class VideoDepthAnything:
    """The network with its weights; `short_side` of what it is shown."""

    whole_range = True

    def __init__(self, network: VideoDepthNetwork, place: Place, *, short_side: int = images.SHORT_SIDE) -> None:
        self._network = network.to(place.device, place.dtype)
        self._place = place
        self._short_side = short_side

    def estimate(self, clip: Clip, *, size: Size, watch: Watch) -> Iterator[tuple[int, Floats]]:
        return video_windows.joined(self._windows(clip, size=size, watch=watch), clip.shape[0])

    def _windows(self, clip: Clip, *, size: Size, watch: Watch) -> Iterator[Floats]:
        """Each window's disparity [32, h, w] at `size`."""
        total, height, width = clip.shape
        shown = images.network_size(height, width, short_side=self._short_side, longest=LONGEST)
        windows = video_windows.plan(total)
        inputs: list[Tensor] = []
        for done, window in enumerate(windows, 1):
            inputs = [inputs[i] for i in video_windows.KEPT] if inputs else []
            for t in window[len(inputs) :]:
                watch.check()
                # Repetitions of the last frame share its tensor.
                again = bool(inputs) and t == total - 1 and window[len(inputs) - 1] == t
                inputs.append(inputs[-1] if again else torch.from_numpy(images.network_input(clip.frame(t), shown)))
            watch.check()
            yield images.resized(self.disparity(torch.stack(inputs)), size)
            watch.progress(done, len(windows), "windows")

    def disparity(self, frames: Tensor) -> Floats:
        """[T, h, w], 0 or more, from normalised frames [T, 3, h, w] of one window."""
        with torch.inference_mode():
            answer = self._network(frames.to(self._place.device, self._place.dtype))
            return np.asarray(answer.float().cpu().numpy(), np.float32)


def load(file: Path, widths: Widths = SMALL, *, short_side: int = images.SHORT_SIDE) -> VideoDepthAnything:
    """The model in the published checkpoint `file` (.pth, or the same tensors as .safetensors).

    Raises BadOption for a checkpoint that is not this model's, naming the tensor.
    """
    network = VideoDepthNetwork(widths)
    load_into(network, open_checkpoint(file).converted(converted), dtype=torch.float32)
    return VideoDepthAnything(network, best_place(torch.float16), short_side=short_side)
