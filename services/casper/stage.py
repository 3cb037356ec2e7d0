"""The `casper` stage: remove objects and their effects from a clip (paper section 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import ClassVar

from services.casper.compact import WEIGHTS, CompactModel
from services.engines import OpenNetwork
from services.model_stage import Model, ModelStage
from services.profiles import COMPACT, MODELS


def _published(name: str) -> Model:
    from services.casper.published import PublishedModel

    return PublishedModel(name)


PUBLISHED: Mapping[str, Callable[[], Model]] = {
    name: partial(_published, name) for name in MODELS["casper"] if name != COMPACT
}


class Casper(ModelStage):
    """Video + objects -> for each run, the video without the objects (and their effects) that it does not keep."""

    name: ClassVar[str] = "casper"
    version: ClassVar[int] = 3

    def __init__(
        self,
        compact: Path = WEIGHTS,
        *,
        published: Mapping[str, Callable[[], Model]] = PUBLISHED,
        open_network: OpenNetwork | None = None,
    ) -> None:
        """compact: the weights of the compact model, which runs in PyTorch unless `open_network` opens its network;
        those of the others are found in the weights folder."""
        super().__init__({COMPACT: partial(CompactModel, compact, open_network=open_network), **published})
