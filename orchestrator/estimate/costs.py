"""How much work a stage run is, as far as a plan and the clip's size can tell: pure functions.

Work is counted in units that a kind's seconds are about proportional to: frames for networks that have a size of their
own, megapixels of frames for those that work at the clip's.
Must not know: what was measured, or stores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from orchestrator.plan import Node
from services.profiles import COMPACT


@dataclass(frozen=True)
class Clip:
    """frames: their number; height, width: in pixels; long_side: most pixels along a layer's longer side."""

    frames: int
    height: int
    width: int
    long_side: int

    @property
    def native(self) -> float:
        """Megapixels of all frames together."""
        return self.frames * self.height * self.width / 1e6

    @property
    def working(self) -> float:
        """The same at the layers' size."""
        return self.native * min(1.0, self.long_side / max(self.height, self.width)) ** 2


ASSUMED: Mapping[str, float] = MappingProxyType(
    {
        # Compact profile, two cores of a virtual machine (docs/operations.md, "What a job costs").
        "ingest/video": 0.32,
        "ingest/mask": 0.16,
        "region": 0.05,
        "sam2/compact": 0.10,
        "plate": 3.6,
        "casper/compact": 0.14,
        "ssr": 1.65,
        "depth/compact": 0.08,
        "omnimatte/draft": 1.1,
        "omnimatte/fast": 2.8,
        "omnimatte/reference": 56.0,
        "finish": 0.6,
        # The paper's and its authors' figures for one GPU of the A100's class: 66 s for 85 frames and 50 steps.
        "casper": 66 / 85,
        "sam2": 0.05,
        "depth": 0.2,
    }
)
"""Seconds per unit of a kind, or of its first part, of which this service has measured nothing yet."""


def kind(node: Node) -> str:
    """What runs of the same kind have in common: about the same seconds per unit."""
    params = node.params
    if node.stage == "ingest":
        return f"ingest/{params['kind']}"
    if node.stage == "casper":
        return "/".join(["casper", model(node), *_variant(node)])
    if node.stage == "sam2":
        return f"sam2/{model(node)}" + ("/whole" if "whole" in params else "")
    if node.stage == "depth":
        return f"depth/{model(node)}"
    if node.stage == "omnimatte":
        return f"omnimatte/{params['schedule']}"
    if node.stage == "finish":
        return "finish/" + "+".join(params["formats"])
    return node.stage


def _variant(node: Node) -> list[str]:
    params = node.params
    if model(node) == COMPACT:
        return [str(params["steps"])] if params.get("steps", 1) != 1 else []
    return [str(params[name]) for name in ("tier", "steps", "size") if params.get(name)]


def model(node: Node) -> str:
    """The model that does a run; "" for a stage without a choice."""
    return str(node.params.get("model", ""))


def units(node: Node, clip: Clip) -> float:
    """How much work the run is."""
    if node.stage == "casper":
        return float(clip.frames * len(node.params["runs"]))
    if node.stage in ("sam2", "depth"):
        return float(clip.frames)
    if node.stage in ("ingest", "region"):
        return clip.native
    if node.stage == "finish":
        return clip.native * (1 + len(node.params["layers"]))
    return clip.working


def assumed(name: str) -> float:
    """Seconds per unit of the kind `name`, where nothing was measured."""
    while name not in ASSUMED:
        name = name.rpartition("/")[0]
    return ASSUMED[name]
