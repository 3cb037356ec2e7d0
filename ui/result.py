"""The layers of a finished job, put together again as somebody moves the sliders.

What is shown here and what the server renders are made by the same code and the same edit (services/compose).
Must not know: Gradio, or how results come here.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from orchestrator.client import Client
from services.compose.delivery import Delivery, open_delivery
from services.compose.files import Folder
from services.compose.parse import parse
from services.compose.render import prepare
from ui.session import Edit

LONG_SIDE = 960
"""Most pixels along a shown picture."""


def fetched(client: Client, job: str, room: Path) -> Edit:
    """The job's files in a new folder of `room`, nothing done to them yet."""
    folder = room / job.replace("/", "-")
    shutil.rmtree(folder, ignore_errors=True)
    client.download(job, folder)
    return Edit(folder)


def facts(edit: Edit) -> Delivery:
    """What is in the result: labels, frames, size."""
    return open_delivery(Folder(edit.folder), edit.folder)


def picture(edit: Edit, frame: int) -> NDArray[np.uint8]:
    """[h, w, 3]: frame `frame` of the edited clip."""
    delivery = facts(edit)
    scene = prepare(parse(description(edit)), delivery, {})
    image = scene.picture(min(max(0, frame), delivery.frames - 1))
    image = image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8)
    scale = LONG_SIDE / max(image.shape[:2])
    if scale < 1:
        size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    return np.ascontiguousarray(image, dtype=np.uint8)


def description(edit: Edit) -> dict[str, Any]:
    """The edit as `omnimatte compose` and the API take it."""
    layers: dict[str, Any] = {}
    for label, one in edit.layers.items():
        change: dict[str, Any] = {"remove": not one.visible, "opacity": one.opacity, "move": [one.dx, one.dy]}
        layers[label] = change | {"retime": {"offset": one.delay}}
    return {"layers": layers, "background": "keep" if edit.background else "checker"}


def packed(edit: Edit, target: Path) -> Path:
    """A zip of all files of the result, and the edit; returns it."""
    (edit.folder / "edit.yaml").write_text(json.dumps(description(edit) | {"source": "."}, indent=1))
    return Path(shutil.make_archive(str(target), "zip", edit.folder))


def rendered(client: Client, job: str, edit: Edit, room: Path) -> Path:
    """The edited clip as MP4, rendered by the server."""
    folder = room / "rendered"
    shutil.rmtree(folder, ignore_errors=True)
    client.compose(job, json.dumps(description(edit)), folder)
    return folder / "composite.mp4"
