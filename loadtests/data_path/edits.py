"""How fast edits render: frames a second of the stage `compose`, to H.264, two layers, on the store.

The clip is the made one of `deliver.py`, delivered as PNG.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.data_path.deliver import Shape, scene
from loadtests.data_path.table import markdown
from services.artifacts import Store
from services.compose.stage import Compose
from services.finish.stage import Finish
from services.stage import Request, execute

SHAPES = (Shape(120, 384, 640), Shape(40, 1080, 1920))
EDITS: Mapping[str, dict[str, Any]] = {
    "nothing changed": {},
    "one layer moved, scaled, turned": {
        "layers": {
            "ball": {
                "move": [{"frame": 0, "value": [0, 0]}, {"frame": 30, "value": [80, -20], "ease": "smooth"}],
                "scale": [{"frame": 0, "value": 1}, {"frame": 30, "value": 1.4}],
                "rotate": 20,
            }
        }
    },
    "one recoloured and reversed, one blurred": {
        "layers": {
            "ball": {"color": {"hue": 120, "saturation": 1.3}, "retime": {"reverse": True}},
            "cup": {"blur": 4, "opacity": 0.8},
        }
    },
}


@dataclass(frozen=True)
class Rendered:
    """What one edit took."""

    size: str
    edit: str
    frames: int
    seconds: float


def measured(folder: Path, shapes: Sequence[Shape] = SHAPES) -> list[Rendered]:
    """Every edit of `EDITS` on a clip of every shape."""
    rows: list[Rendered] = []
    for shape in shapes:
        request = scene(shape, folder / f"{shape.height}")
        store = Store(str(folder / f"{shape.height}" / "store"))
        layers = execute(Finish(), request, store).address
        for name, edit in EDITS.items():
            asked = Request("compose", {"edit": edit}, {"layers": layers}, subject=name)
            began = time.monotonic()
            execute(Compose(), asked, store)
            rows.append(Rendered(f"{shape.width}x{shape.height}", name, shape.frames, time.monotonic() - began))
    return rows


def report(rows: Sequence[Rendered]) -> str:
    lines = [(row.size, row.edit, f"{row.frames / row.seconds:.1f}") for row in rows]
    return markdown(("clip", "edit", "frames/s"), lines)
