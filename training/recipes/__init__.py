"""The recipes by name. A recipe is made only when it is asked for: the large ones read a pretrained model."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from training.recipe import Recipe, Sources


def _compact(module: str, name: str) -> Callable[[Sources], Recipe]:
    def make(sources: Sources) -> Recipe:
        made: Recipe = getattr(import_module(f"training.recipes.{module}"), name)(sources)
        return made

    return make


def _large(name: str) -> Callable[[Sources], Recipe]:
    def make(sources: Sources) -> Recipe:
        made: Recipe = getattr(import_module("training.recipes.large.recipes"), name)(sources)
        return made

    return make


RECIPES: dict[str, Callable[[Sources], Recipe]] = {
    "compact-casper": _compact("casper", "compact_casper"),
    "compact-ssr": _compact("ssr", "guided_upscaler"),
    "compact-omnimatte": _compact("omnimatte", "compact_omnimatte"),
    "compact-depth": _compact("depth", "compact_depth"),
    "casper-cogvideox": _large("casper_cogvideox"),
    "casper-wan-1.3b": _large("casper_wan_small"),
    "casper-wan-14b-lora": _large("casper_wan_adapter"),
}
