"""The `depth` stage: depth of every frame and of every object (paper appendix D).

Depth orders the layers where several objects overlap. Whichever model estimates it: where objects touch, their depths
follow what can be seen of who hides whom.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import ClassVar

from services.depth.compact import WEIGHTS, CompactModel
from services.engines import OpenNetwork, open_here
from services.model_stage import Model, ModelStage
from services.profiles import COMPACT, MODELS


def _published(name: str) -> Model:
    from services.depth.published import PublishedModel

    return PublishedModel(name)


PUBLISHED: Mapping[str, Callable[[], Model]] = {
    name: partial(_published, name) for name in MODELS["depth"] if name != COMPACT
}


class Depth(ModelStage):
    """A clip and its objects -> depth maps and one depth per object and frame, 0 far .. 1 near."""

    name: ClassVar[str] = "depth"
    version: ClassVar[int] = 3

    def __init__(
        self,
        compact: Path = WEIGHTS,
        *,
        published: Mapping[str, Callable[[], Model]] = PUBLISHED,
        open_network: OpenNetwork = open_here,
    ) -> None:
        """compact: the weights of the compact model; those of the others are found in the weights folder."""
        super().__init__({COMPACT: partial(CompactModel, compact, open_network=open_network), **published})
