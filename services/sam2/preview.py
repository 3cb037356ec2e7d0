"""The `preview` stage: the objects' masks in one frame, while somebody is still pointing.

A model of its own on the server, so that a click does not wait for a clip that is being tracked.
Must not know: who points.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from services.engines import OpenNetwork
from services.errors import BadPrompt
from services.model_stage import Model, ModelStage
from services.profiles import COMPACT, MODELS
from services.sam2.classical import ClassicalPreview
from services.stage import Params, Work


def _published(name: str, open_network: OpenNetwork | None) -> Model:
    from services.sam2.published import PublishedPreview

    return PublishedPreview(name, open_network=open_network)


class PreviewStage(ModelStage):
    """Video + prompts of `frame` -> a PNG per object, `masks/<label>.png`, and the share of the frame it covers."""

    name: ClassVar[str] = "preview"
    version: ClassVar[int] = 1

    def __init__(self, *, open_network: OpenNetwork | None = None) -> None:
        """open_network: as for `services.sam2.stage.Sam2`."""
        published = {name: partial(_published, name, open_network) for name in MODELS["sam2"] if name != COMPACT}
        super().__init__({COMPACT: ClassicalPreview, **published})

    def run(self, work: Work) -> Params:
        frames = int(work.inputs["video"].meta["frames"])
        if not 0 <= int(work.params["frame"]) < frames:
            raise BadPrompt(
                f"the clip has {frames} frames; preview one from 0 to {frames - 1}, not {work.params['frame']}.",
                field="frame",
            )
        return super().run(work)
