"""The `sam2` stage: boxes and points in, one mask track per object out (paper section 3.2)."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from services.engines import OpenNetwork
from services.model_stage import Model, ModelStage
from services.profiles import COMPACT, MODELS
from services.sam2.classical import ClassicalModel


def _published(name: str, open_network: OpenNetwork | None) -> Model:
    from services.sam2.published import PublishedModel

    return PublishedModel(name, open_network=open_network)


class Sam2(ModelStage):
    """Video + prompts -> masks [T, H, W, N] of the objects `labels`, in that order.

    With a model of SAM 2.1 also: solo video + tracks -> the whole of object `whole`, what others hide of it included.
    """

    name: ClassVar[str] = "sam2"
    version: ClassVar[int] = 1

    def __init__(self, *, open_network: OpenNetwork | None = None) -> None:
        """open_network: opens the image encoder of SAM 2.1; by default it runs in PyTorch with the rest."""
        published = {name: partial(_published, name, open_network) for name in MODELS[self.name] if name != COMPACT}
        super().__init__({COMPACT: ClassicalModel, **published})
