"""How a job is done: models, quality, deliverables.

Must not know: objects, uploads, or which requests follow from an option.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from services.deliverables import Delivery, check_formats, delivery_of
from services.errors import BadOption
from services.fields import Fields
from services.profiles import MODELS, PROFILES, find

SCHEDULES = ("fast", "draft", "reference")
TIERS = ("full", "fast", "draft")
REGIONS = ("frame", "objects")
IMAGE_CONTEXTS = ("first_frame", "zeros")
MAX_STEPS = 100
MIN_LONG_SIDE, MAX_LONG_SIDE = 64, 4096
MAX_SEED = 2**32 - 1
MAX_RUNS = 9
_MAX_PROMPT = 2000
_SIDES = range(64, 2049)

_SIZE = re.compile(r"(\d{2,4})x(\d{2,4})")


@dataclass(frozen=True)
class CasperOptions:
    """How a published Casper samples; "" and 0 leave the choice to the model. The compact one knows no such choices.

    Attributes:
        tier: quality, one of TIERS.
        prompt: describes the scene without the objects.
        size: of the model's frames, "HEIGHTxWIDTH", multiples of 16: a smaller one needs less memory.
        image_context: what Wan's picture encoder is shown.
        runs_together: runs of the job that one request makes: together they share work on one GPU, alone they spread
            over several.
    """

    tier: str = ""
    prompt: str = ""
    size: str = ""
    image_context: str = ""
    runs_together: int = 0


@dataclass(frozen=True)
class Options:
    """How the job is done.

    Attributes:
        seed: of the noise that all Casper runs of the job share.
        profile: set of models; "" leaves the choice to the service.
        models: stage -> model, where it is not the profile's.
        formats: what to deliver, in the order of services.deliverables.FORMATS, each once.
        delivery: how it is written.
        steps: denoising steps of Casper; 0 leaves the choice to the model.
        long_side: most pixels along the layers' longer side; 0 leaves the choice to the profile.
        schedule: how thoroughly the layers are optimised.
        region: what of a large frame is worked on: all of it, or what is around its objects.
        casper: see `CasperOptions`.
    """

    seed: int = 0
    profile: str = ""
    models: dict[str, str] = field(default_factory=dict)
    formats: tuple[str, ...] = ("png",)
    delivery: Delivery = field(default_factory=Delivery)
    steps: int = 0
    long_side: int = 0
    schedule: str = "fast"
    region: str = REGIONS[0]
    casper: CasperOptions = field(default_factory=CasperOptions)

    def settled(self, profile: str) -> Options:
        """The same, with `profile` where none was chosen."""
        return self if self.profile else replace(self, profile=profile)

    def model(self, stage: str) -> str:
        """The model that does `stage`, one of those that have a choice; the profile must be settled."""
        return self.models.get(stage) or find(self.profile).models[stage]


def parse_options(data: object) -> Options:
    """Checked options. Raises BadOption, BadInput, with `field` naming the place."""
    known = Fields(data, "options", *Options.__dataclass_fields__)
    return Options(
        seed=known.integer("seed", Options.seed, 0, MAX_SEED),
        profile=_chosen(known, "profile", tuple(PROFILES)),
        models=_models(known.get("models") or {}),
        formats=_formats(known.items("formats") or Options.formats),
        delivery=_delivery(known.get("delivery") or {}),
        steps=known.integer("steps", Options.steps, 1, MAX_STEPS, or_zero=True),
        long_side=known.integer("long_side", Options.long_side, MIN_LONG_SIDE, MAX_LONG_SIDE, or_zero=True),
        schedule=known.choice("schedule", Options.schedule, SCHEDULES),
        region=_chosen(known, "region", REGIONS) or REGIONS[0],
        casper=_casper(known.get("casper") or {}),
    )


def restored_options(data: Mapping[str, Any]) -> Options:
    """The options that a recorded spec holds, unchecked; what older jobs do not know takes its default."""
    casper = CasperOptions(**data.get("casper", {}))
    delivery = Delivery(**data.get("delivery", {}))
    return Options(**{**data, "formats": tuple(data["formats"]), "casper": casper, "delivery": delivery})


def _chosen(known: Fields, name: str, values: tuple[str, ...]) -> str:
    """One of `values`, or "" where the field is absent or empty."""
    return known.choice(name, values[0], values) if known.get(name) else ""


def _formats(given: Sequence[Any]) -> tuple[str, ...]:
    try:
        return check_formats([str(name) for name in given])
    except BadOption as error:
        raise BadOption(error.message, field="options.formats") from error


def _delivery(data: object) -> Delivery:
    known = Fields(data, "options.delivery", *Delivery.__dataclass_fields__)
    try:
        return delivery_of({name: value for name in Delivery.__dataclass_fields__ if (value := known.get(name))})
    except BadOption as error:
        raise BadOption(error.message, field=known.path(error.field)) from error


def _models(data: object) -> dict[str, str]:
    known = Fields(data, "options.models", *MODELS)
    return {stage: known.choice(stage, names[0], names) for stage, names in MODELS.items() if known.get(stage)}


def _casper(data: object) -> CasperOptions:
    known = Fields(data, "options.casper", *CasperOptions.__dataclass_fields__)
    return CasperOptions(
        tier=_chosen(known, "tier", TIERS),
        prompt=known.text("prompt", "", limit=_MAX_PROMPT),
        size=_checked_size(known.text("size", "", limit=16)),
        image_context=_chosen(known, "image_context", IMAGE_CONTEXTS),
        runs_together=known.integer("runs_together", 0, 1, MAX_RUNS, or_zero=True),
    )


def _checked_size(text: str) -> str:
    if not text:
        return ""
    match = _SIZE.fullmatch(text)
    sides = [int(side) for side in match.groups()] if match else []
    if not sides or any(side not in _SIDES for side in sides):
        raise BadOption(
            f"the size {text!r} cannot be used; write HEIGHTxWIDTH, like 384x672, from {_SIDES[0]} to {_SIDES[-1]}.",
            field="options.casper.size",
        )
    if any(side % 16 for side in sides):
        near = "x".join(str(max(64, round(side / 16) * 16)) for side in sides)
        raise BadOption(
            f"the size {text} is not a multiple of 16; use {near} (clips of any size are resized to it).",
            field="options.casper.size",
        )
    return text
