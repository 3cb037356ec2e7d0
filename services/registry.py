"""The list of stages. Importing it imports none of them: each brings libraries of its own."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from services.errors import BadOption
from services.stage import Stage

STAGES = {
    "ingest": "services.ingest.stage:Ingest",
    "sam2": "services.sam2.stage:Sam2",
    "preview": "services.sam2.preview:PreviewStage",
    "region": "services.region.stage:RegionStage",
    "plate": "services.plate.stage:PlateStage",
    "casper": "services.casper.stage:Casper",
    "ssr": "services.ssr.stage:Ssr",
    "depth": "services.depth.stage:Depth",
    "omnimatte": "services.omnimatte.stage:Omnimatte",
    "finish": "services.finish.stage:Finish",
    "compose": "services.compose.stage:Compose",
}
WITH_NETWORKS = ("ssr", "depth", "casper", "sam2", "preview")
"""The stages that open networks (`services.engines.OpenNetwork`)."""


def create(name: str, *, open_network: Callable[[str, Path | None], Any] | None = None) -> Stage:
    """A new instance of the stage `name`, its weights not yet loaded. Raises BadOption for an unknown name.

    open_network: how it opens its networks, if it has any (an `OpenNetwork`); by default in this process.
    """
    try:
        module, _, cls = STAGES[name].partition(":")
    except KeyError:
        raise BadOption(f"there is no stage {name!r}; the stages are {', '.join(STAGES)}.") from None
    given = {"open_network": open_network} if open_network is not None and name in WITH_NETWORKS else {}
    stage = getattr(import_module(module), cls)(**given)
    assert isinstance(stage, Stage)
    return stage
