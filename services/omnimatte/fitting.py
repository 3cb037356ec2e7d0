"""Test-time optimisation of one clip's alpha (paper, section 3.5 and appendix D), at either resolution.

The network begins where training left it, so a few dozen iterations do what thousands did from scratch. The colour is
not stepped but solved for: given alpha, the best colour of a pixel has a closed form (`colour.uncomposited`), and at
that optimum the loss needs no gradient through it.

    loss = reconstruction + sparsity + supervision by the alpha that the fit began with (annealed)

Must not know: files, artifacts, how the guess was made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.omnimatte.unet import AlphaUNet, exact

Array = NDArray[np.float32]
Half = NDArray[np.float16]
State = dict[str, Any]
"""Tensors and numbers to go on from."""


@dataclass(frozen=True)
class Weights:
    """Weights of the losses; one set per resolution."""

    squared: bool
    """Reconstruction is a mean square (base) or a mean absolute difference (working resolution)."""
    reconstruction: float
    sparsity_l1: float
    """Kept below what would bend a soft shadow: the paper's ratio of L1 to L0, 10 to 1, at an absolute size at which a
    shadow of half darkness loses about one percent."""
    sparsity_l0: float
    supervision: tuple[float, float]
    """Supervision by the alpha that the fit began with, first and last; in between it falls exponentially."""
    trust: float = 0.01
    """Pull of the pixel's colour towards the expected one."""


BASE = Weights(squared=True, reconstruction=10.0, sparsity_l1=0.0012, sparsity_l0=0.00012, supervision=(10.0, 0.1))
WORKING = Weights(squared=False, reconstruction=2.0, sparsity_l1=0.0006, sparsity_l0=0.00006, supervision=(10.0, 2.0))


@dataclass(frozen=True)
class Sample:
    """Frames to optimise on, float16 or float32 arrays of 0..1.

    Attributes:
        solo, background, expected: [t, h, w, 3]; `expected` is the colour that the layer is thought to have.
        guess: first alpha, [t, h, w].
        own: coverage of the object's mask, [t, h, w].
        supervised: 1 where alpha is held to what it was, 0 where that is known to be coarse, [t, h, w].
    """

    solo: NDArray[np.floating]
    background: NDArray[np.floating]
    expected: NDArray[np.floating]
    guess: NDArray[np.floating]
    own: NDArray[np.floating]
    supervised: NDArray[np.floating]


class AlphaModel:
    """The network of one object; lives as long as one request."""

    def __init__(self, start: AlphaUNet, *, seed: int) -> None:
        """start: what is fitted; a copy of it, so that the next request starts there as well."""
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        # Without instructions for it, bfloat16 is emulated and slower than float32.
        self._halved = self._device.type == "cuda" or bool(torch.cpu.get_capabilities().get("avx512_bf16"))
        self._seed = seed
        # Frames lie in memory with their channels last, as convolutions like them best.
        self._net = deepcopy(start).to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def fit(
        self,
        sample: Sample,
        *,
        weights: Weights,
        steps: int,
        batch: int,
        rate: float,
        tolerance: float,
        on_step: Callable[[Mapping[str, float], Callable[[], State]], None],
        state: State | None = None,
    ) -> None:
        """Optimise on random batches of `batch` frames. `tolerance`: differences up to this are the pair's noise.

        on_step: called after each step with its losses by term and with what makes the state to go on from.
        state: go on from such a state of the same call.
        """
        held = self.alphas(sample.solo, sample.background, sample.guess, sample.own)
        optimizer = torch.optim.Adam(self._net.parameters(), lr=rate, betas=(0.9, 0.99))
        if state is not None:
            self._net.load_state_dict(state["network"])
            optimizer.load_state_dict(state["optimizer"])
        for step in range(state["step"] if state is not None else 0, steps):
            done = step / steps
            for group in optimizer.param_groups:
                group["lr"] = rate * min(1.0, (step + 1) / 5) * 0.5 * (1 + float(np.cos(np.pi * done)))
            # Which frames depends on the step alone: a run that is resumed goes on as if it had never stopped.
            chosen = np.random.default_rng([self._seed, steps, step]).permutation(len(sample.guess))[:batch]
            terms = self._losses(sample, held, chosen, weights=weights, done=done, tolerance=tolerance)
            optimizer.zero_grad()
            torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses = {name: term.item() for name, term in terms.items()}
            on_step(losses, lambda done=step + 1: self._state(optimizer, done))  # type: ignore[misc]

    def state(self) -> State:
        """The network alone as it is now, for `restore`; a later step does not change it."""
        return {"network": {name: value.clone() for name, value in self._net.state_dict().items()}}

    def restore(self, state: State) -> None:
        self._net.load_state_dict(state["network"])

    def alphas(
        self,
        solo: NDArray[np.floating],
        background: NDArray[np.floating],
        guess: NDArray[np.floating],
        own: NDArray[np.floating],
    ) -> Half:
        """Alpha [t, h, w] of frames [t, h, w, 3], their first guess and mask coverage [t, h, w], one by one."""
        found = np.empty(guess.shape, np.float16)
        for t in range(len(found)):
            found[t] = self.alpha(solo[t], background[t], guess[t], own[t])
        return found

    def alpha(
        self,
        solo: NDArray[np.floating],
        background: NDArray[np.floating],
        guess: NDArray[np.floating],
        own: NDArray[np.floating],
    ) -> Array:
        """Alpha [h, w] of one frame [h, w, 3], its guess and mask coverage [h, w]; exactly 0 and 1 at the ends."""
        with torch.inference_mode():
            images, maps = (solo[None], background[None]), (guess[None], own[None])
            found = self._alpha(*map(self._image, images), *map(self._map, maps))
        return np.asarray(exact(found[0, 0]).cpu().numpy(), np.float32)

    def _state(self, optimizer: torch.optim.Optimizer, step: int) -> State:
        return {**self.state(), "optimizer": optimizer.state_dict(), "step": step}

    def _alpha(self, solo: Tensor, background: Tensor, guess: Tensor, own: Tensor) -> Tensor:
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._halved):
            alpha: Tensor = self._net(solo, background, guess, own)
        return alpha

    def _losses(
        self,
        sample: Sample,
        held: Half,
        chosen: NDArray[np.int64],
        *,
        weights: Weights,
        done: float,
        tolerance: float,
    ) -> dict[str, Tensor]:
        solo, background = self._image(sample.solo[chosen]), self._image(sample.background[chosen])
        expected, guess = self._image(sample.expected[chosen]), self._map(sample.guess[chosen])
        own, supervised = self._map(sample.own[chosen]), self._map(sample.supervised[chosen])
        start = self._map(held[chosen])
        alpha = self._alpha(solo, background, guess, own)
        with torch.no_grad():
            wanted = alpha * (solo - (1 - alpha) * background) + weights.trust * expected
            colour = (wanted / (alpha * alpha + weights.trust)).clamp(0, 1)
        left = alpha * colour + (1 - alpha) * background - solo
        # Noise is passed over only where no layer is expected: in a shadow it would make alpha too small.
        empty = (1 - 5 * start).clamp_min(0)
        beyond = (left.abs() - tolerance * empty).clamp_min(0)
        reconstruction = (beyond**2 if weights.squared else beyond).mean()
        reconstruction = reconstruction + weights.trust * (alpha * (colour - expected) ** 2).mean()
        sparsity = weights.sparsity_l1 * alpha.mean()
        sparsity = sparsity + weights.sparsity_l0 * (2 * torch.sigmoid(5 * alpha) - 1).mean()
        first, last = weights.supervision
        return {
            "reconstruction": weights.reconstruction * reconstruction,
            "sparsity": weights.reconstruction * sparsity,
            "supervision": first ** (1 - done) * last**done * _by_area((alpha - start) ** 2, own, supervised),
        }

    def _image(self, frames: NDArray[np.floating]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).to(self._device, torch.float32)

    def _map(self, maps: NDArray[np.floating]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(maps[:, None])).to(self._device, torch.float32)


def _by_area(error: Tensor, own: Tensor, supervised: Tensor) -> Tensor:
    # Inside and outside of the mask count the same, however small the object is.
    inside, outside = supervised * own, supervised * (1 - own)
    inner = (error * inside).sum() / inside.sum().clamp_min(1)
    outer = (error * outside).sum() / outside.sum().clamp_min(1)
    total: Tensor = inner + outer
    return total
