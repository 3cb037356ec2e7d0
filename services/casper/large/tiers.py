"""Quality tiers as named presets, and the cache of the `fast` one.

draft   4 steps
fast    50 steps, of which those that change little reuse the deeper blocks' last correction (first-block cache)
full    50 steps, as released

`distance.py` measures how far a tier is from `full` for given weights. Must not know: windows, clips.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import diffusers

from services.errors import BadOption

# Its classes are only half typed.
_hooks: Any = diffusers


@dataclass(frozen=True)
class Tier:
    """steps: denoising steps. cache: relative change of the first block's correction under which the rest is reused."""

    name: str
    steps: int
    cache: float | None = None


DRAFT = Tier("draft", steps=4)
FAST = Tier("fast", steps=50, cache=0.1)
FULL = Tier("full", steps=50)
TIERS = {tier.name: tier for tier in (DRAFT, FAST, FULL)}


def tier(name: str) -> Tier:
    """The tier called `name`. Raises BadOption."""
    if name not in TIERS:
        raise BadOption(f"there is no quality tier {name!r}; use one of {', '.join(TIERS)}.", field="tier")
    return TIERS[name]


@contextmanager
def caching(network: Any, tier: Tier) -> Iterator[None]:
    """While inside, `network` caches as `tier` asks. All that was cached is gone afterwards."""
    if tier.cache is None:
        yield
        return
    network.enable_cache(_hooks.FirstBlockCacheConfig(threshold=tier.cache))
    try:
        yield
    finally:
        network.disable_cache()


def remembering(network: Any, tier: Tier, *, window: int) -> AbstractContextManager[None]:
    """Context of one call of `network`: what it caches is kept by the window's number, so windows share nothing."""
    return nullcontext() if tier.cache is None else network.cache_context(f"window {window}")
