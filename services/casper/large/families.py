"""The published Caspers by name: their size, their weights, and how each is opened.

Importing this imports no network. Must not know: stages, artifacts, requests.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from services.casper.large.casper import LargeCasper, Sampling
from services.casper.large.placement import Need, Placement
from services.casper.large.windows import COGVIDEOX, WAN
from services.catalogue import locate

_FILE = "casper.safetensors"


@dataclass(frozen=True)
class Family(ABC):
    """One published Casper.

    Attributes:
        standard: how it samples by default; its size is for clips that are wider than tall.
        base, casper: entries of the catalogue with its parts, and with its own denoiser.
    """

    standard: Sampling
    base: str
    casper: str

    def file(self) -> Path:
        """The denoiser's checkpoint. Raises NotFound, with the command that gets it."""
        return locate(self.casper) / _FILE

    @abstractmethod
    def need_at(self, height: int, width: int) -> Need:
        """What it needs at a size."""

    @abstractmethod
    def load(self, folder: Path, placement: Placement, *, casper: Path) -> LargeCasper:
        """The model, from its base's folder and its own checkpoint. Raises NotFound, BadOption."""


@dataclass(frozen=True)
class CogVideoX(Family):
    def need_at(self, height: int, width: int) -> Need:
        from services.casper.cogvideox.model import need_at

        return need_at(height, width)

    def load(self, folder: Path, placement: Placement, *, casper: Path) -> LargeCasper:
        from services.casper.cogvideox.casper import CogVideoXCasper

        return CogVideoXCasper.load(folder, placement, casper=casper)


@dataclass(frozen=True)
class Wan(Family):
    parameters: str = "1.3b"

    def need_at(self, height: int, width: int) -> Need:
        from services.casper.wan.casper import need_at

        return need_at(self.parameters)(height, width)  # type: ignore[arg-type]

    def load(self, folder: Path, placement: Placement, *, casper: Path) -> LargeCasper:
        from services.casper.wan.casper import WanCasper

        return WanCasper.load(folder, placement, size=self.parameters, casper=casper)  # type: ignore[arg-type]


_COGVIDEOX = Sampling(height=384, width=672, rule=COGVIDEOX)
_WAN = Sampling(height=480, width=832, rule=WAN)

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "cogvideox": CogVideoX(_COGVIDEOX, "cogvideox-fun-v1.5-5b-inp", "casper-cogvideox"),
        "wan-1.3b": Wan(_WAN, "wan2.1-fun-1.3b-inp", "casper-wan-1.3b", "1.3b"),
        "wan-14b": Wan(_WAN, "wan2.1-fun-14b-inp", "casper-wan-14b", "14b"),
    }
)
