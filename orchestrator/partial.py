"""What is left of a job when an object fails for good: pure functions of the spec.

An object fails alone in the stage runs that are made for it alone; what a run makes for all fails for all. An object
without a layer is removed from the background all the same, unless it is its mask that failed: then nobody knows where
it is.
Must not know: how a plan is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from orchestrator.plan import Node
from orchestrator.records import Failure
from orchestrator.spec import JobSpec
from services.errors import BadInput, Internal, OmnimatteError

_ALONE = ("mask", "casper", "ssr", "whole", "omnimatte")


def concerns(spec: JobSpec, node: Node, error: OmnimatteError) -> bool:
    """Whether the failure is one object's alone, and would come again."""
    return isinstance(error, BadInput | Internal) and _label(spec, node.id) is not None


def without(spec: JobSpec, failed: Mapping[str, OmnimatteError]) -> tuple[JobSpec, list[Failure]]:
    """The spec without the layers of the objects whose nodes failed, and what it lost.

    Raises:
        OmnimatteError: the first failure, if no layer would be left.
    """
    errors = {label: error for node, error in failed.items() if (label := _label(spec, node)) is not None}
    unknown = {label for label in errors if f"mask/{label}" in failed}
    objects = tuple(
        replace(item, layer=item.layer and item.label not in errors)
        for item in spec.objects
        if item.label not in unknown
    )
    if not any(item.layer for item in objects):
        raise next(iter(failed.values()))
    # A spoilt occluder is no layer that somebody asked for, but its absence from the plan shows in the background.
    lost = [Failure(label, error) for label, error in sorted(errors.items())]
    return replace(spec, objects=objects), lost


def _label(spec: JobSpec, node: str) -> str | None:
    kind, _, label = node.partition("/")
    known = {item.label for item in spec.objects}
    return label if kind in _ALONE and label in known else None
