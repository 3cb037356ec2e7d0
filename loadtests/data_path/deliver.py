"""What it takes to pack a long clip: seconds and peak memory of the stage `finish`, one process per format.

The clip is made, not filmed: a ground that moves a little, and two discs with soft shadows, known to the layers at
working resolution, as the stages would leave them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from loadtests.data_path.table import markdown
from services.arrays import Content
from services.artifacts import Draft, Store, digest
from services.deliverables import PICTURES, SIDES
from services.stage import Request, execute

FORMATS = (*PICTURES, *SIDES)
LABELS = ("ball", "cup")


@dataclass(frozen=True)
class Shape:
    """Of a clip: frames, its size, and the longer side of its layers."""

    frames: int = 200
    height: int = 1080
    width: int = 1920
    working: int = 640


@dataclass(frozen=True)
class Packed:
    """What one format took: seconds in all, peak resident memory and delivered files in bytes."""

    formats: str
    seconds: float
    peak: int
    size: int


def measured(shape: Shape, folder: Path, *, formats: Sequence[str] = FORMATS, together: bool = False) -> list[Packed]:
    """Each of `formats`, with PNG where a format delivers no layer of its own, and all at once; or only the latter."""
    request = scene(shape, folder)
    wanted = [[name] if name in PICTURES else ["png", name] for name in formats]
    return [_packed(request, names, folder) for names in (*([] if together else wanted), list(formats))]


def report(rows: Sequence[Packed], shape: Shape) -> str:
    """A table."""
    lines = [
        (
            row.formats,
            f"{row.seconds:.0f}",
            f"{shape.frames / row.seconds:.1f}",
            f"{row.peak / 1e9:.2f}",
            f"{row.size / 1e6:.0f}",
        )
        for row in rows
    ]
    title = f"{shape.frames} frames of {shape.width}x{shape.height}, two layers"
    return f"{title}\n\n{markdown(('formats', 'seconds', 'frames/s', 'peak GB', 'files MB'), lines)}"


def scene(shape: Shape, folder: Path) -> Request:
    """The request of `finish` for a clip in the store `folder`/store, as if every stage had run."""
    store = Store(str(folder / "store"))
    small = _small(shape)
    video = _video(store, shape)
    inputs = {
        "video": video,
        "background": _array(store, "ssr", {"frames": (small, 3)}, shape, lambda t: {"frames": _ground(t, *small)}),
        "depth": _depth(store, shape),
    }
    for k, label in enumerate(LABELS):
        inputs[f"layer/{label}"] = _array(
            store,
            f"omnimatte-{label}",
            {"rgb": (small, 3), "alpha": (small, 1)},
            shape,
            lambda t, k=k: _layer(k, t, *small),
        )
        inputs[f"mask/{label}"] = _masks(store, shape, k, label)
    objects = [{"label": label, "input": f"mask/{label}", "channel": 0} for label in LABELS]
    params = {"objects": objects, "layers": list(LABELS), "formats": ["png"], "profile": "compact", "job": None}
    return Request("finish", params, inputs, subject="finish")


def _packed(request: Request, formats: list[str], folder: Path) -> Packed:
    asked = Request("finish", {**request.params, "formats": formats}, request.inputs, subject="finish")
    began = time.monotonic()
    command = [sys.executable, "-m", __name__, str(folder / "store"), asked.to_json()]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    answer = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"finish of {', '.join(formats)} failed with status {status}.")
    seconds = time.monotonic() - began
    return Packed("+".join(formats), seconds, usage.ru_maxrss * 1024, int(json.loads(answer)["size"]))


def _child(url: str, request: str) -> None:
    from services.finish.stage import Finish

    store = Store(url)
    result = execute(Finish(), Request.from_json(request), store)
    made = store.get(result.address)
    print(json.dumps({"size": sum(made.manifest.files.values())}))
    store.delete(result.address)


def _small(shape: Shape) -> tuple[int, int]:
    scale = min(1.0, shape.working / max(shape.height, shape.width))
    return round(shape.height * scale), round(shape.width * scale)


def _ground(t: int, height: int, width: int) -> NDArray[Any]:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    u, v = x / width, y / height
    return np.stack([0.4 + 0.3 * u, 0.5 + 0.2 * np.sin(40 * u) * np.sin(30 * v + 0.02 * t), 0.3 + 0.3 * v], axis=-1)


def _layer(k: int, t: int, height: int, width: int) -> dict[str, NDArray[Any]]:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    center = (0.3 + 0.4 * k + 0.1 * np.sin(t / 30)) * width
    radius = 0.17 * height
    body = np.clip(radius + 0.5 - np.hypot(x - center, y - 0.45 * height), 0, 1)
    shadow = 0.5 * np.exp(-(((x - center) / (1.4 * radius)) ** 2 + ((y - 0.7 * height) / (0.3 * radius)) ** 2))
    alpha = body + (1 - body) * np.where(shadow < 0.01, 0, shadow)
    tint = np.array([(0.85, 0.15, 0.1), (0.1, 0.25, 0.8)][k], np.float32)
    return {"rgb": body[..., None] * np.broadcast_to(tint, (height, width, 3)), "alpha": alpha[..., None]}


def _array(store: Store, stage: str, kinds: dict[str, Any], shape: Shape, make: Any) -> str:
    draft = store.draft(digest({"stage": stage, **asdict(shape)}), stage=stage)
    arrays = {
        name: draft.array(name, shape=(shape.frames, *size, channels), dtype="float16")
        for name, (size, channels) in kinds.items()
    }
    for name, array in arrays.items():
        step = array.chunks[0]
        for start in range(0, shape.frames, step):
            array[start : start + step] = np.stack(
                [make(t)[name] for t in range(start, min(shape.frames, start + step))]
            )
    size = next(iter(kinds.values()))[0]
    return _published(draft, stage, shape, {"height": size[0], "width": size[1]})


def _depth(store: Store, shape: Shape) -> str:
    draft = store.draft(digest({"stage": "depth", **asdict(shape)}), stage="depth")
    draft.array("depth", shape=(shape.frames, 128, 224), dtype="float16")[:] = np.float16(0.5)
    near = np.tile(np.array([0.6, 0.4], np.float32), (shape.frames, 1))
    draft.array("objects", shape=near.shape, dtype="float32")[:] = near
    return _published(draft, "depth", shape, {})


def _masks(store: Store, shape: Shape, k: int, label: str) -> str:
    draft = store.draft(digest({"stage": "ingest", "label": label, **asdict(shape)}), stage="ingest")
    array = draft.array(
        "masks", shape=(shape.frames, shape.height, shape.width, 1), dtype="uint8", content=Content.COVERAGE
    )
    step = array.chunks[0]
    for start in range(0, shape.frames, step):
        frames = range(start, min(shape.frames, start + step))
        array[start : frames.stop] = np.stack([_mask(k, t, shape) for t in frames])
    return _published(draft, "ingest", shape, {"height": shape.height, "width": shape.width})


def _mask(k: int, t: int, shape: Shape) -> NDArray[np.uint8]:
    alpha = _layer(k, t, *_small(shape))["alpha"]
    full = np.asarray(cv2.resize((alpha >= 0.98).astype(np.uint8) * 255, (shape.width, shape.height)))
    return np.where(full > 127, 255, 0).astype(np.uint8)[..., None]


def _video(store: Store, shape: Shape) -> str:
    draft = store.draft(digest({"stage": "video", **asdict(shape)}), stage="ingest")
    array = draft.array("frames", shape=(shape.frames, shape.height, shape.width, 3), dtype="uint8")
    step = array.chunks[0]
    for start in range(0, shape.frames, step):
        frames = range(start, min(shape.frames, start + step))
        array[start : frames.stop] = np.stack([frame(t, shape) for t in frames])
    color = {"matrix": "bt709", "range": "limited", "primaries": "bt709", "transfer": "bt709", "tagged": True}
    facts = {"height": shape.height, "width": shape.width, "fps": "25/1", "sample_aspect_ratio": "1/1", "color": color}
    return _published(draft, "ingest", shape, facts | {"bit_depth": 8, "timestamps": None, "audio": None})


def frame(t: int, shape: Shape) -> NDArray[np.uint8]:
    """Frame `t` of the clip, [H, W, 3]."""
    small = _small(shape)
    picture = _ground(t, *small)
    for k in range(len(LABELS)):
        layer = _layer(k, t, *small)
        picture = picture + layer["alpha"] * (layer["rgb"] - picture)
    grain = np.random.default_rng(t).normal(0, 0.01, (shape.height, shape.width, 1)).astype(np.float32)
    full = np.asarray(cv2.resize(picture.astype(np.float32), (shape.width, shape.height))) + grain
    return np.rint(np.clip(full, 0, 1) * 255).astype(np.uint8)


def _published(draft: Draft, stage: str, shape: Shape, facts: dict[str, Any]) -> str:
    request = {"stage": stage, "version": 1, "params": {}, "inputs": {}, "weights": ""}
    return draft.commit(request=request, meta={"frames": shape.frames, **facts}, seconds=0.0).address


if __name__ == "__main__":
    _child(sys.argv[1], sys.argv[2])
