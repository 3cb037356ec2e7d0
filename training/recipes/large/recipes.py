"""The released hyper-parameters of the large Caspers as recipes.

Known from the release: learning rates, warm-up, optimisers, frames, batch per GPU (four H100), dropouts, losses, rank
and alpha. Different here: no ZeRO-2 sharding of the optimiser (5B trained whole therefore wants a GPU of more than 96
GB), one picture size per run instead of one drawn for every batch from 256 to 1024, and latents are the VAE's mode.
Clips are ours (training/data/casper.py), 128x224, in the paper's mix of categories as far as there are scene files. No
moving average, as in the release.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import nn
from torch.utils.data import DataLoader

from services.casper.cogvideox.tiny import tiny_network as tiny_cogvideox
from services.errors import BadOption
from training.data import mix
from training.data.casper import CasperSamples
from training.recipe import Batch, Optimiser, Recipe, Schedule, Sources
from training.recipes.large import cogvideox, wan
from training.recipes.large.backbone import Backbone, casper_loss

Samples = Callable[[int], Iterator[Batch]]
"""Endless batches from a seed, with the keys that `casper_loss` names."""


@dataclass(frozen=True)
class Clips:
    """What a large recipe trains on. frames: 4k + 1, k odd for CogVideoX. batch: clips per GPU."""

    frames: int
    batch: int
    height: int = 128
    width: int = 224

    def of(self, sources: Sources) -> Samples:
        """Batches that take their scene files from `sources`."""
        return partial(self.samples, scenes=sources.scenes)

    def samples(self, seed: int, *, scenes: Path | None) -> Iterator[Batch]:
        clips = CasperSamples(
            split="train",
            seed=seed,
            frames=self.frames,
            height=self.height,
            width=self.width,
            reuse=4,
            folders=mix.folders(scenes),
            weights=mix.PAPER,
        )
        return iter(DataLoader(clips, batch_size=self.batch, num_workers=2, prefetch_factor=2))


_CONSTANT = Schedule(warmup=100, cooldown=0)
_CAME = Optimiser("came", lr=2e-5, betas=(0.9, 0.999, 0.9999), weight_decay=0.0, clip=0.05)
_ADAPTER = Optimiser("adamw", lr=1e-4, betas=(0.9, 0.999), weight_decay=3e-2, clip=0.05)

COGVIDEOX = Clips(frames=85, batch=2)
WAN_SMALL = Clips(frames=81, batch=8)
WAN_LARGE = Clips(frames=81, batch=1)


def casper_cogvideox(sources: Sources) -> Recipe:
    """CogVideoX-Fun V1.5 5B InP, trained whole."""
    base = _base(sources)
    build = partial(cogvideox.read_network, base)
    return _recipe(build, cogvideox.CogVideoX.read(base), COGVIDEOX.of(sources), _CAME)


def casper_wan_small(sources: Sources) -> Recipe:
    """Wan 2.1 Fun 1.3B InP, trained whole. The release names no clipping for it; CogVideoX's is used."""
    base = _base(sources)
    return _recipe(partial(wan.read_network, base), wan.Wan.read(base), WAN_SMALL.of(sources), _CAME)


def casper_wan_adapter(sources: Sources) -> Recipe:
    """Wan 2.1 Fun 14B InP, frozen in bfloat16 under an adapter of rank 128. Only the adapter is saved."""
    base = _base(sources)

    def build() -> nn.Module:
        return wan.with_adapter(wan.read_network(base, frozen=True))

    return _recipe(build, wan.Wan.read(base), WAN_LARGE.of(sources), _ADAPTER)


def tiny(name: str, samples: Samples) -> Recipe:
    """The recipe `name` on a network of the same shape with few random weights: the same code in a second."""
    if name == "casper-cogvideox":
        return _recipe(tiny_cogvideox, cogvideox.CogVideoX.tiny(), samples, _CAME)
    if name == "casper-wan-1.3b":
        return _recipe(wan.tiny_network, wan.Wan.tiny(), samples, _CAME)
    return _recipe(lambda: wan.with_adapter(wan.tiny_network()), wan.Wan.tiny(), samples, _ADAPTER)


def _recipe(build: Callable[[], nn.Module], backbone: Backbone, samples: Samples, optimiser: Optimiser) -> Recipe:
    return Recipe(
        build=build,
        batches=samples,
        loss=partial(casper_loss, backbone),
        optimiser=optimiser,
        schedule=_CONSTANT,
        ema=0,
    )


def _base(sources: Sources) -> Path:
    if sources.base is None:
        raise BadOption("a large recipe starts from a pretrained model; give its local folder as --base.")
    return sources.base
