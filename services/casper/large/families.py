"""The published Caspers by name: their size, their weights, and how each is opened.

Importing this imports no network. Must not know: stages, artifacts, requests.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from services.casper.large.placement import Need, Placement
from services.casper.large.tiers import Tier
from services.catalogue import locate
from services.errors import BadOption

_FILE = "casper.safetensors"


@dataclass(frozen=True)
class Family(ABC):
    """One published Casper.

    Attributes:
        size: height and width of its frames, for clips that are wider than tall.
        base, casper: entries of the catalogue with its parts, and with its own denoiser.
    """

    size: tuple[int, int]
    base: str
    casper: str

    def file(self) -> Path:
        """The denoiser's checkpoint. Raises NotFound, with the command that gets it."""
        return locate(self.casper) / _FILE

    @abstractmethod
    def need_at(self, height: int, width: int) -> Need:
        """What it needs at a size."""

    @abstractmethod
    def load(self, folder: Path, placement: Placement, *, casper: Path) -> Any:
        """The model, from its base's folder and its own checkpoint. Raises NotFound, BadOption."""

    @abstractmethod
    def sampling(self, *, tier: Tier, seed: int, height: int, width: int, prompt: str = "", context: str = "") -> Any:
        """How to sample; "" leaves a choice to the model. Raises BadOption for a choice that it has not."""


@dataclass(frozen=True)
class CogVideoX(Family):
    def need_at(self, height: int, width: int) -> Need:
        from services.casper.cogvideox.model import need_at

        return need_at(height, width)

    def load(self, folder: Path, placement: Placement, *, casper: Path) -> Any:
        from services.casper.cogvideox.casper import CogVideoXCasper

        return CogVideoXCasper.load(folder, placement, casper=casper)

    def sampling(self, *, tier: Tier, seed: int, height: int, width: int, prompt: str = "", context: str = "") -> Any:
        from services.casper.cogvideox.casper import Sampling

        if context:
            raise BadOption("CogVideoX has no picture encoder, so no image context; leave it out.", field="context")
        given: dict[str, Any] = {"prompt": prompt} if prompt else {}
        return Sampling(tier=tier, seed=seed, height=height, width=width, **given)


@dataclass(frozen=True)
class Wan(Family):
    parameters: str = "1.3b"

    def need_at(self, height: int, width: int) -> Need:
        from services.casper.wan.casper import need_at

        return need_at(self.parameters)(height, width)  # type: ignore[arg-type]

    def load(self, folder: Path, placement: Placement, *, casper: Path) -> Any:
        from services.casper.wan.casper import WanCasper

        return WanCasper.load(folder, placement, size=self.parameters, casper=casper)  # type: ignore[arg-type]

    def sampling(self, *, tier: Tier, seed: int, height: int, width: int, prompt: str = "", context: str = "") -> Any:
        from services.casper.wan.casper import Sampling

        given: dict[str, Any] = {name: value for name, value in (("prompt", prompt), ("context", context)) if value}
        return Sampling(tier=tier, seed=seed, height=height, width=width, **given)


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "cogvideox": CogVideoX((384, 672), "cogvideox-fun-v1.5-5b-inp", "casper-cogvideox"),
        "wan-1.3b": Wan((480, 832), "wan2.1-fun-1.3b-inp", "casper-wan-1.3b", "1.3b"),
        "wan-14b": Wan((480, 832), "wan2.1-fun-14b-inp", "casper-wan-14b", "14b"),
    }
)
