"""Compact and large Caspers as the denoisers of training/attention.py, with a clip noised half way.

Every one is told what Casper is told when it removes the object: the video and a trimask with the object as 0. Must not
know: what is looked at while they run.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from services.casper.compact import WEIGHTS
from services.casper.network import CompactCasper, stack_conditions
from services.casper.schedule import add_noise, ddim_step
from services.errors import BadMask, BadOption, BadVideo
from services.plate import plate as plates
from services.trimask import scaled, trimask
from training import checkpoint
from training.attention import START, Grid

Bytes = NDArray[np.uint8]
Backbone = Literal["compact", "casper-cogvideox", "casper-wan-1.3b"]
BACKBONES = get_args(Backbone)

# Short side and window of each: what it was trained at, the window kept short for the small ones' memory.
_SHORT_SIDE = {"compact": 128, "casper-cogvideox": 384, "casper-wan-1.3b": 480}
_WINDOW = {"compact": 8, "casper-cogvideox": 13, "casper-wan-1.3b": 13}


@dataclass(frozen=True)
class Clip:
    """A window of a clip. video: [T, h, w, 3] uint8. masks: [T, h, w] uint8 0 or 255. frame: the one to look at."""

    video: Bytes
    masks: Bytes
    frame: int


def read_clip(video: Path, mask: Path, *, frame: int | None, backbone: Backbone) -> Clip:
    """The window around `frame` (the one with most of the object if None) at the backbone's size, in steps of 16.

    Raises BadVideo, BadMask, BadOption.
    """
    shown = _decoded(video)
    masks = _decoded(mask)
    if len(masks) != len(shown):
        raise BadMask(f"{mask} has {len(masks)} frames but {video} has {len(shown)}; they must have as many.")
    frame = int((masks[..., 0] >= 128).sum(axis=(1, 2)).argmax()) if frame is None else frame
    if not 0 <= frame < len(shown):
        raise BadOption(f"there is no frame {frame} in {video}; it has frames 0 to {len(shown) - 1}.")
    length = _WINDOW[backbone]
    if len(shown) < length:
        raise BadVideo(f"{video} has {len(shown)} frames; {backbone} needs at least {length}.")
    start = min(max(0, frame - length // 2), len(shown) - length)
    scale = _SHORT_SIDE[backbone] / min(shown.shape[1:3])
    height, width = (max(16, round(side * scale / 16) * 16) for side in shown.shape[1:3])
    window = range(start, start + length)
    return Clip(
        video=np.stack([cv2.resize(shown[t], (width, height), interpolation=cv2.INTER_AREA) for t in window]),
        masks=np.stack([scaled(_binary(masks[t]), height=height, width=width) for t in window]),
        frame=frame - start,
    )


def _decoded(path: Path) -> Bytes:
    try:
        with av.open(str(path)) as container:
            return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    except (OSError, ValueError, IndexError) as error:
        raise BadVideo(f"{path} cannot be read as a video ({error}); give a video file.") from error


def _binary(mask: Bytes) -> Bytes:
    """[H, W, 3] as [H, W], 0 or 255: compression leaves greys."""
    return np.where(mask[..., 0] >= 128, 255, 0).astype(np.uint8)


def make(
    backbone: Backbone, clip: Clip, *, weights: Path | None, base: Path | None, caption: str = "", seed: int = 0
) -> Any:
    """The denoiser (`attention.Denoiser`) of this name. Raises BadOption for files that do not fit."""
    if backbone == "compact":
        network = CompactCasper()
        path = weights or WEIGHTS
        checkpoint.load_state(network, checkpoint.read_weights(path), origin=path)
        return Compact(network.eval(), clip, seed=seed)
    if base is None:
        raise BadOption(f"{backbone} starts from a pretrained model; give its local folder as --base.")
    family, large = _family(backbone, base)
    if weights is not None:
        checkpoint.load_state(large, checkpoint.read_weights(weights), origin=weights)
    return Large(large.eval(), family, clip, caption=caption, seed=seed)


def _family(backbone: Backbone, base: Path) -> tuple[Any, nn.Module]:
    from training.recipes.large import cogvideox, wan

    if backbone == "casper-cogvideox":
        return cogvideox.CogVideoX.read(base), cogvideox.read_network(base)
    return wan.Wan.read(base), wan.read_network(base)


class Compact:
    """Compact Casper: attention across space and time at 1/16 of its resolution, within frames at 1/8."""

    def __init__(self, network: nn.Module, clip: Clip, *, seed: int = 0) -> None:
        self._network = network
        self._conditions = _compact_conditions(clip)
        clean = _tensor(clip.video) * 2 - 1
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
        self._noisy = add_noise(clean, noise, torch.tensor([START]))

    def grids(self) -> tuple[Grid, ...]:
        frames, height, width = self._noisy.shape[2:]
        return Grid(frames, height // 16, width // 16), Grid(1, height // 8, width // 8)

    def moment(self, frame: int) -> int:
        return frame

    def step(self, t: float, following: float | None) -> None:
        clean = self._network(self._noisy, self._conditions, torch.tensor([t]))
        if following is not None:
            self._noisy = ddim_step(self._noisy, clean, t=t, following=following)


def _compact_conditions(clip: Clip) -> Tensor:
    path = plates.camera_path(clip.video, clip.masks)
    count = len(clip.video)
    made = [
        plates.plate(t, clip.video, clip.masks, path, references=plates.choose_references(t, count))
        for t in range(count)
    ]
    seen = torch.from_numpy(np.stack([plate.seen for plate in made]).astype(np.float32))[None, None]
    return stack_conditions(_tensor(clip.video), _trimasks(clip), _tensor(np.stack([p.rgb for p in made])), seen)


class Large:
    """A large Casper (training/recipes/large/): attention across space and time, on latents."""

    def __init__(self, network: nn.Module, family: Any, clip: Clip, *, caption: str = "", seed: int = 0) -> None:
        self._network, self._family = network, family
        generator = torch.Generator().manual_seed(seed)
        video = _tensor(clip.video)
        with torch.no_grad():
            clean = family.latents(video)
            self._conditions = family.conditions(video, _trimasks(clip), generator=generator)
            self._context = family.context([caption], video[:, :, 0], generator=None)
        noise = torch.randn(clean.shape, generator=generator)
        self._noisy = family.schedule.noisy(clean, noise, family.schedule.at(START))

    def grids(self) -> tuple[Grid, ...]:
        config: Any = self._network.config
        frames, height, width = self._noisy.shape[2:]
        if "patch_size_t" in config:
            text = self._context["text"].shape[1]
            return (Grid(frames // config.patch_size_t, height // 2, width // 2, before=text),)
        return (Grid(frames, height // 2, width // 2),)

    def moment(self, frame: int) -> int:
        # The first latent is the first frame, every other holds four; CogVideoX takes latents in pairs.
        latent = (frame + 3) // 4
        config: Any = self._network.config
        return latent // int(config.get("patch_size_t", 1))

    def step(self, t: float, following: float | None) -> None:
        schedule = self._family.schedule
        now = schedule.at(t)
        predicted = self._family.predict(self._network, self._noisy, self._conditions, now, self._context)
        if following is not None:
            clean, noise = schedule.clean(self._noisy, predicted.float(), now)
            self._noisy = schedule.noisy(clean, noise, schedule.at(following))


def _trimasks(clip: Clip) -> Tensor:
    """The object removed, all else unsure: [1, 1, T, h, w]."""
    return torch.from_numpy(np.stack([trimask(mask[..., None], keep=()) for mask in clip.masks]))[None, None]


def _tensor(video: Bytes) -> Tensor:
    """[T, h, w, 3] uint8 as [1, 3, T, h, w] in 0..1."""
    return torch.from_numpy(np.ascontiguousarray(video.transpose(3, 0, 1, 2)))[None].float() / 255
