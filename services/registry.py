"""The list of stages. Importing it imports none of them: each brings libraries of its own."""

from __future__ import annotations

from importlib import import_module

from services.errors import BadOption
from services.stage import Stage

STAGES = {
    "ingest": "services.ingest.stage:Ingest",
    "sam2": "services.sam2.stage:Sam2",
    "plate": "services.plate.stage:PlateStage",
    "casper": "services.casper.stage:Casper",
    "ssr": "services.ssr.stage:Ssr",
    "depth": "services.depth.stage:Depth",
    "omnimatte": "services.omnimatte.stage:Omnimatte",
    "finish": "services.finish.stage:Finish",
}


def create(name: str) -> Stage:
    """A new instance of the stage `name`, its weights not yet loaded. Raises BadOption for an unknown name."""
    try:
        module, _, cls = STAGES[name].partition(":")
    except KeyError:
        raise BadOption(f"there is no stage {name!r}; the stages are {', '.join(STAGES)}.") from None
    stage = getattr(import_module(module), cls)()
    assert isinstance(stage, Stage)
    return stage
