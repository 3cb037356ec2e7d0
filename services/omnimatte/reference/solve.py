"""The paper's optimisation of one object's layer, as it is described (section 3.5, appendix D).

Two passes over the same objective: at base resolution the mask teaches alpha where the object is, ever less; at
working resolution the enlarged base alpha teaches it, except along edges, where that is aliased. A batch is a run of
consecutive frames. Foreground colour is one variable per pixel behind a sigmoid; the background is fixed.

What the paper leaves open is chosen here: Adam, its learning rates and their fall in the last third, and colour that
starts at the solo video's (base pass). Which frames an iteration sees depends on the seed and its number only, so that
an optimisation that is stopped and restored goes on as if it had never stopped.

Must not know: files, artifacts, how evidence or tracking work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from services.omnimatte.reference import losses
from services.omnimatte.reference.losses import Weights
from services.omnimatte.reference.unet import ReferenceUNet

Array = NDArray[np.float32]
State = dict[str, Any]


@dataclass(frozen=True)
class Pass:
    """One of the two passes. rate: of the network; colour_rate: of the colours' logits."""

    weights: Weights
    iterations: int = 20_000
    batch: int = 20
    rate: float = 5e-4
    colour_rate: float = 5e-3


BASE = Pass(Weights(squared=True, sparsity=1, mask=20, mask_decay=1e-3))
WORKING = Pass(Weights(squared=False, sparsity=10, mask=10, mask_until=2_000, supervision=20))


@dataclass(frozen=True)
class Clip:
    """What one pass is solved on; arrays of 0..1, float16 or float32.

    Attributes:
        solo, background: [T, h, w, 3].
        mask: coverage of the object, [T, h, w].
        colour: first foreground colour, [T, h, w, 3].
        enlarged: alpha to be held to, [T, h, w], where `trusted`, [T, h, w], is 1. None in the base pass.
    """

    solo: NDArray[np.floating]
    background: NDArray[np.floating]
    mask: NDArray[np.floating]
    colour: NDArray[np.floating]
    enlarged: NDArray[np.floating] | None = None
    trusted: NDArray[np.floating] | None = None


class Optimisation:
    """One pass under way."""

    def __init__(self, clip: Clip, schedule: Pass, *, seed: int) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        # Without instructions for it, bfloat16 is emulated and slower than float32.
        self._halved = self._device.type == "cuda" or bool(torch.cpu.get_capabilities().get("avx512_bf16"))
        self._schedule, self._seed = schedule, seed
        self._frames = {name: self._placed(value) for name, value in vars(clip).items() if value is not None}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._network = ReferenceUNet().to(self._device)
        self._logits = nn.Parameter(torch.logit(self._frames.pop("colour").float(), eps=0.02))
        self._optimiser = torch.optim.Adam(
            [
                {"params": list(self._network.parameters()), "peak": schedule.rate},
                {"params": [self._logits], "peak": schedule.colour_rate},
            ],
            betas=(0.9, 0.99),
            fused=True,
        )
        self.done = 0

    def step(self) -> dict[str, float]:
        """One iteration; returns its losses by term, weighted."""
        self._set_rates()
        terms = self._losses(self._batch())
        self._optimiser.zero_grad()
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        self.done += 1
        return {name: term.item() for name, term in terms.items()}

    def layer(self, t: int) -> tuple[Array, Array]:
        """Alpha [h, w] and straight colour [h, w, 3] of frame `t` as they are now."""
        with torch.inference_mode():
            alpha = self._alpha(slice(t, t + 1))[0, 0]
            colour = torch.sigmoid(self._logits[t]).permute(1, 2, 0)
        return np.asarray(alpha.cpu().numpy(), np.float32), np.asarray(colour.cpu().numpy(), np.float32)

    def shown(self) -> tuple[Array, Array]:
        """The middle frame's layer, for a preview."""
        return self.layer(len(self._logits) // 2)

    def state(self) -> State:
        """All that a later `restore` needs; tensors, numbers and text only."""
        return {
            "done": self.done,
            "network": self._network.state_dict(),
            "colour": self._logits.detach(),
            "optimiser": self._optimiser.state_dict(),
        }

    def restore(self, state: State) -> None:
        """Go on from a `state` of the same clip, schedule and seed."""
        self.done = int(state["done"])
        self._network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])
        with torch.no_grad():
            self._logits.copy_(state["colour"])

    def _set_rates(self) -> None:
        left = 1 - self.done / self._schedule.iterations
        for group in self._optimiser.param_groups:
            group["lr"] = group["peak"] * min(1.0, 3 * left)

    def _batch(self) -> slice:
        count, size = len(self._logits), self._schedule.batch
        if count <= size:
            return slice(0, count)
        start = int(np.random.default_rng([self._seed, self.done]).integers(count - size + 1))
        return slice(start, start + size)

    def _alpha(self, chosen: slice) -> Tensor:
        solo, background = self._part("solo", chosen), self._part("background", chosen)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._halved):
            alpha: Tensor = self._network(torch.cat([solo, (solo - background).abs()], dim=1))
        return alpha.float()

    def _losses(self, chosen: slice) -> dict[str, Tensor]:
        weights, mask = self._schedule.weights, self._part("mask", chosen)
        alpha = self._alpha(chosen)
        composed = losses.composite(alpha, torch.sigmoid(self._logits[chosen]), self._part("background", chosen))
        thin = losses.sparsity(alpha, mask, beta1=weights.beta1, beta0=weights.beta0)
        terms = {
            "reconstruction": losses.reconstruction(composed, self._part("solo", chosen), squared=weights.squared),
            "sparsity": weights.sparsity * thin,
        }
        taught = weights.mask_at(self.done, self._schedule.iterations)
        if taught:
            terms["mask"] = taught * losses.mask_supervision(alpha, mask)
        if "enlarged" in self._frames:
            enlarged, trusted = self._part("enlarged", chosen), self._part("trusted", chosen)
            terms["supervision"] = weights.supervision * losses.alpha_supervision(alpha, enlarged, trusted)
        return terms

    def _part(self, name: str, chosen: slice) -> Tensor:
        return self._frames[name][chosen].float()

    def _placed(self, frames: NDArray[np.floating]) -> Tensor:
        """[T, h, w(, 3)] to [T, C, h, w], on the device for as long as the pass takes."""
        planes = frames[..., None] if frames.ndim == 3 else frames
        return torch.from_numpy(np.ascontiguousarray(planes.transpose(0, 3, 1, 2))).to(self._device)
