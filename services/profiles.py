"""Profiles: named sets of models for the stages that have a choice. Plain data.

    OMNIMATTE_PROFILE   the profile of jobs that name none; model servers load its models when they start

Must not know: what a model needs (`services.models` does), or whether it is on this machine.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType

from services.errors import BadOption
from services.models import STAGE_MODELS

COMPACT = "compact"
PROFILE_VARIABLE = "OMNIMATTE_PROFILE"

_STAGES = ("casper", "sam2", "depth")
MODELS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {stage: (COMPACT, *(model.name for model in STAGE_MODELS if model.stage == stage)) for stage in _STAGES}
)
"""The models of each stage that has a choice."""


@dataclass(frozen=True)
class Profile:
    """One set of models.

    Attributes:
        models: stage -> model, for every stage of `MODELS`.
        long_side: most pixels along the layers' longer side, where a job does not say.
        meant_for: for people.
    """

    name: str
    models: Mapping[str, str]
    long_side: int
    meant_for: str


def _profile(name: str, *, casper: str, sam2: str, depth: str, long_side: int, meant_for: str) -> Profile:
    return Profile(name, MappingProxyType({"casper": casper, "sam2": sam2, "depth": depth}), long_side, meant_for)


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            _profile(
                COMPACT,
                casper=COMPACT,
                sam2=COMPACT,
                depth=COMPACT,
                long_side=640,
                meant_for="a laptop without a GPU: this project's own small networks, in the package",
            ),
            _profile(
                "production",
                casper="cogvideox",
                sam2="sam2.1-large",
                depth="depthcrafter",
                long_side=1024,
                meant_for="a GPU, the paper's own choice; DepthCrafter and CogVideoX limit commercial use",
            ),
            _profile(
                "commercial",
                casper="wan-1.3b",
                sam2="sam2.1-large",
                depth="video-depth-anything-small",
                long_side=1024,
                meant_for="a GPU, where a paid service needs licences that allow it",
            ),
        )
    }
)


def find(name: str) -> Profile:
    """The profile called `name`. Raises BadOption."""
    if name not in PROFILES:
        close = get_close_matches(name, PROFILES, n=1)
        guess = f"did you mean {close[0]!r}?" if close else f"the profiles are {', '.join(PROFILES)}."
        raise BadOption(f"there is no profile {name!r}; {guess}", field="profile")
    return PROFILES[name]


def preloaded(stage: str, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The params of a request for the model that a server of `stage` loads when it starts. Raises BadOption."""
    return {"model": configured(environment).models[stage]} if stage in MODELS else {}


def configured(environment: Mapping[str, str] = os.environ) -> Profile:
    """The profile of this process's setting. Raises BadOption."""
    return find(environment.get(PROFILE_VARIABLE, "") or COMPACT)
