"""A clip whose layers are known exactly, put into a store as if every stage had run.

Two discs, "ball" and "cup", each with a dark shadow below it, pass each other over a coloured ground.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from services.artifacts import Artifact, Store, digest
from services.ingest.stage import Ingest
from services.stage import Request, Result, execute
from tests.services.clips import make_clip, png_bytes, tar_bytes

BALL = (0.85, 0.15, 0.1)
CUP = (0.1, 0.25, 0.8)


@dataclass
class Scene:
    """True layers, all float32 0..1 at the clip's size, and the composed clip."""

    background: NDArray[Any]
    rgb: dict[str, NDArray[Any]]
    alpha: dict[str, NDArray[Any]]
    solid: dict[str, NDArray[Any]]  # where the object itself is, without its shadow
    front: list[str]
    clip: NDArray[Any] = field(init=False)

    def __post_init__(self) -> None:
        frames = []
        for t, front in enumerate(self.front):
            image = self.background[t]
            for label in sorted(self.rgb, key=lambda name, front=front: name == front):
                alpha = self.alpha[label][t]
                image = alpha * self.rgb[label][t] + (1 - alpha) * image
            frames.append(image)
        self.clip = np.rint(np.stack(frames) * 255).astype(np.uint8)

    @property
    def labels(self) -> list[str]:
        return list(self.rgb)

    def visible(self, label: str) -> NDArray[np.bool_]:
        """The object's mask in the clip: its solid part, less what the one in front hides."""
        hidden = np.zeros_like(self.solid[label])
        for other in self.labels:
            if other != label:
                ahead = np.array([front == other for front in self.front])
                hidden |= self.solid[other] & ahead[:, None, None]
        return self.solid[label] & ~hidden


def make_scene(
    frames: int = 8,
    height: int = 48,
    width: int = 80,
    *,
    swap: int | None = None,
    labels: tuple[str, ...] = ("ball", "cup"),
) -> Scene:
    """swap: the frame from which "cup" rather than "ball" is in front."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    ground = np.stack([0.4 + 0.3 * x / width, 0.5 + 0.2 * np.sin(x / 3) * np.sin(y / 2), 0.3 + 0.3 * y / height], -1)
    rgb, alpha, solid = {}, {}, {}
    for k, label in enumerate(labels):
        colors, alphas, solids = [], [], []
        for t in range(frames):
            progress = t / max(1, frames - 1)
            center = width * (0.42 + 0.12 * progress) if k == 0 else width * (0.60 - 0.12 * progress)
            radius, middle = height * 0.2, height * (0.42 + 0.04 * k)
            distance = np.hypot(x - center, y - middle)
            body = np.clip(radius + 0.5 - distance, 0, 1)
            shadow = 0.5 * np.exp(
                -(((x - center) / (1.4 * radius)) ** 2 + ((y - middle - 1.4 * radius) / (0.4 * radius)) ** 2)
            )
            total = body + (1 - body) * shadow
            pattern = 0.9 + 0.1 * np.sin(x + y)
            color = np.array(BALL if k == 0 else CUP, dtype=np.float32) * pattern[..., None]
            mixed = body[..., None] * color / np.maximum(total, 1e-6)[..., None]
            colors.append(np.clip(mixed, 0, 1))
            alphas.append(np.where(total < 0.01, 0, total)[..., None])
            solids.append(body > 0.5)
        rgb[label] = np.stack(colors).astype(np.float32)
        alpha[label] = np.stack(alphas).astype(np.float32)
        solid[label] = np.stack(solids)
    change = frames if swap is None else swap
    front = [labels[0] if t < change or len(labels) == 1 else labels[1] for t in range(frames)]
    background = np.repeat(ground[None], frames, axis=0).astype(np.float32)
    return Scene(background=background, rgb=rgb, alpha=alpha, solid=solid, front=front)


@dataclass
class Job:
    """A scene in a store; `finish` runs the stage on it."""

    store: Store
    inputs: dict[str, str]
    objects: list[dict[str, Any]]

    def request(self, **params: Any) -> Request:
        given = {
            "objects": self.objects,
            "layers": [entry["label"] for entry in self.objects],
            "formats": ["png"],
            "profile": "compact",
            "job": "test",
        }
        return Request("finish", given | params, self.inputs, subject="finish")

    def finish(self, **params: Any) -> Artifact:
        from services.finish.stage import Finish

        result: Result = execute(Finish(), self.request(**params), self.store)
        return self.store.get(result.address)


def put_arrays(
    store: Store, stage: str, arrays: dict[str, NDArray[Any]], *, params: dict[str, Any], inputs: dict[str, str]
) -> str:
    """An artifact as stage `stage` would leave it; returns its address."""
    request = {"stage": stage, "version": 1, "params": params, "inputs": inputs, "weights": ""}
    draft = store.draft(digest(request), stage=stage)
    for name, values in arrays.items():
        draft.array(name, shape=values.shape, dtype=str(values.dtype))[:] = values
    first = next(iter(arrays.values()))
    meta = {"frames": len(first)}
    if first.ndim == 4:
        meta |= {"height": first.shape[1], "width": first.shape[2]}
    return draft.commit(request=request, meta=meta, seconds=1.5).address


def make_job(
    folder: Path,
    scene: Scene,
    *,
    working: float = 1.0,
    depth: NDArray[Any] | None = None,
    noise: float = 0.0,
    alpha_noise: float = 0.0,
    background: NDArray[Any] | None = None,
    filename: str = "two discs.mkv",
    **clip: Any,
) -> Job:
    """Ingest the scene losslessly and store its layers, scaled by `working`, with `noise` on their colours."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    store = Store(str(folder / "store"))
    coded: dict[str, Any] = {"codec": "ffv1", "pixel_format": "bgr0", "rate": Fraction(16)} | clip
    path = make_clip(folder / ("clip" + Path(filename).suffix), scene.clip, **coded)
    video = _ingest(store, path.read_bytes(), filename, {"kind": "video"}, {})
    objects, inputs = [], {"video": video}
    for label in scene.labels:
        pngs = {f"{t}.png": png_bytes(mask.astype(np.uint8) * 255) for t, mask in enumerate(scene.visible(label))}
        params = {"kind": "mask", "label": label}
        inputs[f"mask/{label}"] = _ingest(store, tar_bytes(pngs), f"{label}.tar", params, {"video": video})
        objects.append({"label": label, "input": f"mask/{label}", "channel": 0})
    frames, height, width = scene.background.shape[:3]
    size = (round(width * working), round(height * working))

    def scaled(values: NDArray[Any], *, amount: float = 0.0) -> NDArray[Any]:
        small = np.stack(
            [cv2.resize(v, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], -1) for v in values]
        )
        return np.clip(small + rng.normal(0, amount, small.shape), 0, 1).astype(np.float16)

    plate = scene.background if background is None else background
    inputs["background"] = put_arrays(
        store, "ssr", {"frames": scaled(plate, amount=noise)}, params={"keep": [], "seed": 7}, inputs={"video": video}
    )
    for label in scene.labels:
        arrays = {
            "rgb": scaled(scene.rgb[label], amount=noise),
            "alpha": np.where(scaled(scene.alpha[label]) > 0, scaled(scene.alpha[label], amount=alpha_noise), 0).astype(
                np.float16
            ),
        }
        made_of = {"video": video, "background": inputs["background"]}
        inputs[f"layer/{label}"] = put_arrays(
            store, "omnimatte", arrays, params={"label": label, "seed": 7}, inputs=made_of
        )
    if depth is None:
        depth = np.full((frames, len(scene.labels)), np.nan)
    arrays = {"objects": depth.astype(np.float32), "depth": np.zeros((frames, 8, 8), np.float16)}
    inputs["depth"] = put_arrays(store, "depth", arrays, params={}, inputs={"video": video})
    return Job(store=store, inputs=inputs, objects=objects)


def _ingest(store: Store, data: bytes, filename: str, params: dict[str, Any], inputs: dict[str, str]) -> str:
    upload = store.upload([data], filename=filename)
    return execute(Ingest(), Request("ingest", params, {"upload": upload.address, **inputs}), store).address
