"""The `sam2` stage: boxes and points in, one mask track per object out (paper section 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar

from services.model_stage import Model, ModelStage
from services.profiles import COMPACT, MODELS
from services.sam2.classical import ClassicalModel


def _published(name: str) -> Model:
    from services.sam2.published import PublishedModel

    return PublishedModel(name)


PUBLISHED: Mapping[str, Callable[[], Model]] = {
    name: partial(_published, name) for name in MODELS["sam2"] if name != COMPACT
}


class Sam2(ModelStage):
    """Video + prompts -> masks [T, H, W, N] of the objects `labels`, in that order.

    With a model of SAM 2.1 also: solo video + tracks -> the whole of object `whole`, what others hide of it included.
    """

    name: ClassVar[str] = "sam2"
    version: ClassVar[int] = 1

    def __init__(self, *, published: Mapping[str, Callable[[], Model]] = PUBLISHED) -> None:
        super().__init__({COMPACT: ClassicalModel, **published})
