"""A manifest: many jobs in a file, one line of JSON each.

    {"video": "a.mp4", "objects": [{"label": "vase", "mask": "a/vase"}, {"label": "cup", "prompts": [...]}],
     "options": {"seed": 1}}

`objects` and `options` are those of a job's spec (orchestrator/spec.py), but masks are paths. Paths are relative to the
manifest. A line that cannot be meant spoils no other.
Must not know: servers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.spec import from_dict
from services.errors import BadInput, NotFound, OmnimatteError
from services.fields import Fields

_UNKNOWN = {"digest": "0" * 64}


@dataclass(frozen=True)
class Line:
    """One job of a manifest: its number (from 1), what is written there, and the files that it names."""

    number: int
    data: Mapping[str, Any]
    paths: tuple[Path, ...]

    def spec(self, folder: Path, sent: Callable[[Path], Mapping[str, str]]) -> dict[str, Any]:
        """The job's spec; `sent(path)` is what stands for a file there."""
        objects = []
        for item in self.data.get("objects", []):
            mask = item.get("mask")
            objects.append({**item, "mask": sent(folder / mask)} if mask is not None else dict(item))
        spec = {"source": sent(folder / self.data["video"]), "objects": objects, "options": self.data.get("options")}
        if "preserve" in self.data:
            spec["preserve"] = sent(folder / self.data["preserve"])
        return {
            **spec,
            "scheduling": {"class": "batch", "priority": self.data.get("priority", 0)},
            "allow_partial": self.data.get("allow_partial", False),
        }


def read_manifest(path: Path) -> Iterator[Line | tuple[int, OmnimatteError]]:
    """Every line: a job, or (its number, what is wrong with it).

    Raises:
        NotFound: there is no such file. BadInput: it is no text.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise NotFound(f"the manifest {path} cannot be read ({error.strerror}); check the path.") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"the manifest {path} is no UTF-8 text; write one line of JSON for each job.") from error
    for number, text in enumerate(lines, 1):
        if text.strip():
            try:
                yield _line(number, text, path.parent)
            except OmnimatteError as error:
                yield number, error


def _line(number: int, text: str, folder: Path) -> Line:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"line {number} is no JSON ({error}); write an object with video and objects.") from error
    known = Fields(data, "", "video", "objects", "options", "preserve", "priority", "allow_partial")
    objects = known.items("objects")
    if not isinstance(known.get("video"), str) or not all(isinstance(item, Mapping) for item in objects):
        raise BadInput(f"line {number} has no video, or an object that is none.", field="video")
    names = [known.get("video"), known.get("preserve"), *(item.get("mask") for item in objects)]
    if not all(isinstance(name, str | None) for name in names):
        raise BadInput(f"line {number} names a file by something else than its path.", field="objects")
    line = Line(number, data, tuple(folder / name for name in names if name is not None))
    from_dict(line.spec(folder, lambda _: _UNKNOWN))
    for path in line.paths:
        if not path.exists():
            raise NotFound(f"line {number}: there is no file {path}; check the path.")
    return line
