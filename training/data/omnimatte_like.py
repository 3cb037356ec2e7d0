"""Our own successful decompositions as training pairs (paper section 3.4, Omnimatte).

    python -m training.data.omnimatte_like RESULT_FOLDER... --out FOLDER [--least 38]

The input of a pair is the picture that the layers make, not the clip that was filmed (App. B): then input and target
share whatever blur the layers have, and no network learns to blur. Must not know: how a decomposition is made.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from services.errors import BadInput
from services.video.source import Source, open_container
from training.data import captions, scenes

HEIGHT, WIDTH = 128, 224
LEAST_PSNR = 38.0
_SOLID = 0.9
Array = NDArray[np.float32]


def pair_of(folder: Path, *, least: float = LEAST_PSNR, name: str = "") -> scenes.Scene:
    """The scene of one result folder (layers.json and its files), at base resolution.

    Raises BadInput if the folder holds no result, its recomposition is below `least` dB, or an object has no layer.
    """
    try:
        content = json.loads((folder / "layers.json").read_text(encoding="utf-8"))
        quality, order = float(content["recomposition"]["psnr_db"]), content["order"]
        labels = [layer["label"] for layer in content["layers"]]
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(f"{folder}: no readable layers.json; give a folder that `omnimatte decompose` wrote.") from error
    if quality < least:
        raise BadInput(f"{folder}: its layers make the input at {quality:.1f} dB; at least {least:g} dB is wanted.")
    if content.get("occluders") or not labels:
        raise BadInput(f"{folder}: not every object has a layer; decompose it without leaving out any.")
    background = _read(folder, content["background"]["files"])[..., :3]
    layers = np.stack([_read(folder, layer["files"]) for layer in content["layers"]])
    ranks = np.array([[labels.index(label) for label in row] for row in order], np.uint8)
    return scenes.Scene(
        name=name or folder.resolve().name,
        category="omnimatte",
        video=_codes(_compose(background, layers, ranks)),
        masks=_masks(layers, ranks),
        background=_codes(background),
        solos=np.stack([_codes(_over(layer, background)) for layer in layers]),
        layers=_codes(_straight(layers)),
        order=np.ascontiguousarray(ranks[:, ::-1]),
        caption=captions.caption("a real place"),
    )


def _compose(background: Array, layers: Array, ranks: NDArray[np.uint8]) -> Array:
    """Premultiplied `layers` [N, T, h, w, 4] over `background`; ranks: [T, N] front to back."""
    picture = background.copy()
    for t, row in enumerate(ranks):
        for i in row[::-1]:
            picture[t] = _over(layers[i, t], picture[t])
    return picture


def _over(layer: Array, back: Array) -> Array:
    return layer[..., :3] + back * (1 - layer[..., 3:])


def _masks(layers: Array, ranks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Visible masks [T, h, w, N]: what is solid, and what is half solid right beside it; shadows are neither."""
    count, frames, height, width, _ = layers.shape
    masks = np.zeros((frames, height, width, count), np.uint8)
    kernel = np.ones((5, 5), np.uint8)
    for t, row in enumerate(ranks):
        passing = np.ones((height, width), np.float32)
        for i in row:
            alpha = layers[i, t, ..., 3]
            share = passing * alpha
            core = cv2.morphologyEx((share > _SOLID).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
            masks[t, ..., i] = np.where((share > 0.5) & (cv2.dilate(core, kernel) > 0), 255, 0)
            passing = passing * (1 - alpha)
    return masks


def _straight(layers: Array) -> Array:
    alpha = layers[..., 3:]
    return np.concatenate([np.clip(layers[..., :3] / np.maximum(alpha, 1e-3), 0, 1), alpha], axis=-1)


def _read(folder: Path, files: dict[str, str]) -> Array:
    """A layer or background as premultiplied [T, HEIGHT, WIDTH, 4], 0..1, from the first format that can be read."""
    for form in ("png", "prores", "webm"):
        if form not in files:
            continue
        path = folder / files[form]
        if form == "png":
            found = sorted(path.parent.glob("*.png"))
            images = [cv2.cvtColor(_image(p), cv2.COLOR_BGRA2RGBA) for p in found]
        else:
            images = _frames(path)
        if images:
            return np.stack([_reduced(image) for image in images])
    raise BadInput(f"{folder}: none of its files is PNG, ProRes or WebM; decompose again with --format png.")


def _image(path: Path) -> NDArray[Any]:
    raw = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if raw is None:
        raise BadInput(f"{path}: this picture cannot be read; decompose the clip again.")
    return np.asarray(cv2.cvtColor(raw, cv2.COLOR_BGR2BGRA) if raw.shape[2] == 3 else raw)


def _frames(path: Path) -> list[NDArray[Any]]:
    with path.open("rb") as file, open_container(file, path.name) as container:
        pictures = list(Source(container, path.name, alpha=True).pictures())
    found = []
    for picture in pictures:
        peak = np.iinfo(picture.pixels.dtype).max
        full = np.full(picture.pixels.shape[:2], 255, np.uint8) if picture.alpha is None else picture.alpha
        alpha = (full.astype(np.float32) / 255 * peak).round().astype(picture.pixels.dtype)
        found.append(np.concatenate([picture.pixels, alpha[..., None]], axis=-1))
    return found


def _reduced(image: NDArray[Any]) -> Array:
    """RGBA of any size as premultiplied [HEIGHT, WIDTH, 4]: shrunk until it just covers, the middle cut out."""
    rgba = image.astype(np.float32) / np.iinfo(image.dtype).max
    rgba[..., :3] *= rgba[..., 3:]
    scale = max(HEIGHT / rgba.shape[0], WIDTH / rgba.shape[1])
    size = max(WIDTH, round(rgba.shape[1] * scale)), max(HEIGHT, round(rgba.shape[0] * scale))
    small = cv2.resize(rgba, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    y, x = (size[1] - HEIGHT) // 2, (size[0] - WIDTH) // 2
    return np.asarray(small[y : y + HEIGHT, x : x + WIDTH], np.float32)


def _codes(values: Array) -> NDArray[np.uint8]:
    return (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", metavar="RESULT_FOLDER")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--least", type=float, default=LEAST_PSNR, help="recomposition PSNR in dB")
    given = parser.parse_args()
    for folder in given.folders:
        try:
            scene = pair_of(folder, least=given.least)
        except BadInput as error:
            print(f"left out: {error}")
            continue
        scenes.save(scene, given.out / f"{scene.name}.npz")
        print(f"{scene.name}: {len(scene.video)} frames, {scene.objects} objects")


if __name__ == "__main__":
    main()
