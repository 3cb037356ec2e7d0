"""All projects behind one function.

Must not know: where files go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from services.finish.projects import after_effects, fcpxml, nuke, otio
from services.finish.projects.plan import Project, project_of

_KINDS: Mapping[str, tuple[str, Callable[[Project], str]]] = {
    "otio": (otio.FILENAME, otio.document),
    "fcpxml": (fcpxml.FILENAME, fcpxml.document),
    "nuke": (nuke.FILENAME, nuke.document),
    "aftereffects": (after_effects.FILENAME, after_effects.document),
}


def filename(kind: str) -> str:
    """Of the project `kind`, one of services.deliverables.PROJECTS."""
    return _KINDS[kind][0]


def write(kind: str, content: Mapping[str, Any], *, name: str) -> bytes:
    """The project file that puts the delivery together; content: that of layers.json; name: of the clip."""
    return _KINDS[kind][1](project_of(kind, content, name=name or "omnimatte")).encode()
