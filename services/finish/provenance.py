"""Where a result comes from: every stage run behind it, read off the manifests.

Must not know: pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.artifacts import Artifact
from services.errors import NotFound


def ancestors(inputs: Mapping[str, Artifact]) -> list[Artifact]:
    """Every artifact behind `inputs`, each once, what was made first before what was made of it.

    An ancestor that has been removed from the store is left out, with what only it led to.
    """
    found: dict[str, Artifact] = {}

    def visit(artifact: Artifact) -> None:
        if artifact.address in found:
            return
        for name in artifact.manifest.request.get("inputs", {}):
            try:
                visit(artifact.input(name))
            except NotFound:
                continue
        found[artifact.address] = artifact

    for artifact in inputs.values():
        visit(artifact)
    return list(found.values())


def timings(made: list[Artifact]) -> list[dict[str, Any]]:
    """One row per stage run: stage, what it worked on, its wall time in seconds, its address."""
    return [
        {
            "stage": artifact.manifest.stage,
            "subject": subject(artifact),
            "seconds": artifact.manifest.seconds,
            "address": artifact.address,
        }
        for artifact in made
        if artifact.manifest.stage != "upload"
    ]


def subject(artifact: Artifact) -> str:
    """What a stage run worked on, for people: "video", "mask vase", "keep vase", "background"."""
    params = artifact.manifest.request.get("params", {})
    if "kind" in params:
        return " ".join(str(params[key]) for key in ("kind", "label") if params.get(key))
    if "runs" in params:
        return ", ".join(params["runs"])
    if "whole" in params:
        return f"whole {params['whole']}"
    if "keep" in params:
        return "keep " + ", ".join(params["keep"]) if params["keep"] else "background"
    return str(params.get("label", "")) or "all objects"


def seeds(made: list[Artifact]) -> dict[str, int]:
    """The seed of each stage that has one."""
    return {
        artifact.manifest.stage: int(params["seed"])
        for artifact in made
        if (params := artifact.manifest.request.get("params", {})).get("seed") is not None
    }


def uploads(made: list[Artifact]) -> list[dict[str, Any]]:
    """The user's files: name and SHA-256 of the bytes."""
    return [
        {"filename": str(artifact.meta.get("filename", "")), "sha256": artifact.address}
        for artifact in made
        if artifact.manifest.stage == "upload"
    ]
