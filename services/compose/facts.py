"""What an edit is checked against, read off a delivery without touching a picture.

Must not know: pictures.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from services.artifacts import Artifact
from services.errors import BadInput


@dataclass(frozen=True)
class Facts:
    """Labels of the layers, in job order, and the number of frames."""

    labels: tuple[str, ...]
    frames: int


def facts_of(delivered: Artifact) -> Facts:
    """Raises BadInput for an artifact that is no delivery."""
    try:
        content = json.loads(delivered.read("layers.json"))
        return Facts(tuple(str(layer["label"]) for layer in content["layers"]), int(content["frames"]))
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"artifact {delivered.address[:12]} is no decomposition; give a job that has one.") from error
