"""Compact Casper as a model of the `casper` stage: this project's own small network, at base resolution on a CPU."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from services import base_clip, geometry, tracks
from services.casper import runs, sampler
from services.casper.conditions import Conditions
from services.casper.network import CONDITION_CHANNELS, CompactCasper
from services.engines import Network, OpenNetwork
from services.errors import BadOption
from services.model_stage import Model
from services.stage import Params, Work
from services.weights import file_digest

WEIGHTS = Path(__file__).with_name("compact.safetensors")
_MAX_STEPS = 256


class CompactModel(Model):
    """The network in the file `weights`, in PyTorch; or as a network that `open_network` opens."""

    def __init__(self, weights: Path = WEIGHTS, *, open_network: OpenNetwork | None = None) -> None:
        self._path, self._open = weights, open_network
        self._network: sampler.Denoiser | None = None

    def weights(self) -> str:
        return file_digest(self._path)

    def load(self, params: Params) -> None:
        if self._network is not None:
            return
        if self._open is not None:
            self._network = _Exported(self._open("casper", None))
            return
        self._network = network = load_network(self._path)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            network(torch.zeros(1, 3, 2, 32, 32), torch.zeros(1, CONDITION_CHANNELS, 2, 32, 32), torch.ones(1))

    def run(self, work: Work) -> Params:
        assert self._network is not None
        sampling = _sampling(work.params)
        objects = tracks.parse(work.params["objects"])
        wanted = runs.parse(work.params, objects)
        source = work.inputs["video"].array("frames")
        height, width = geometry.base_size(source.shape[1], source.shape[2])
        clip = base_clip.load(work.inputs, objects, height=height, width=width, check=work.check)
        for number, run in enumerate(wanted):
            out = run.frames(work, shape=clip.shape, chunk=sampling.window)
            for first, part in sampler.sample(
                self._network,
                Conditions(clip, work.inputs["plate"], keep=run.keep),
                shape=clip.shape,
                sampling=sampling,
                on_window=partial(_report, work, number, len(wanted)),
            ):
                out[first : first + len(part)] = part.astype(np.float16)
        return {
            "frames": clip.shape[0],
            "height": height,
            "width": width,
            "window": sampling.window,
            "overlap": sampling.overlap,
        }


@dataclass(frozen=True)
class _Exported:
    """An exported network, called as the PyTorch one is."""

    network: Network

    def __call__(self, noisy: Tensor, conditions: Tensor, t: Tensor) -> Tensor:
        return torch.from_numpy(self.network(noisy.numpy(), conditions.numpy(), t[:, None].numpy()))


def load_network(path: Path) -> CompactCasper:
    """Compact Casper with the weights at `path`, ready to run."""
    network = CompactCasper()
    network.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _report(work: Work, run: int, runs: int, done: int, total: int) -> None:
    work.check()
    work.progress(run * total + done, runs * total, "denoising")


def _sampling(params: Params) -> sampler.Sampling:
    steps = int(params.get("steps", 1))
    if not 1 <= steps <= _MAX_STEPS:
        raise BadOption(f"{steps} denoising steps are not possible; choose 1 to {_MAX_STEPS}.", field="steps")
    return sampler.Sampling(steps=steps, seed=int(params.get("seed", 0)))
