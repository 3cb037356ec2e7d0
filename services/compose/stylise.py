"""Styles made elsewhere: by a command of the user's, or by an image-to-image pipeline of diffusers.

Both get a layer's frames and give them back in another style; the layer's alpha stays. Only a command line runs
these: a server refuses them (`check.require_harmless`).
Must not know: what the other layers are.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from services.compose.edit import Diffusion
from services.compose.element import Element
from services.compose.files import Folder
from services.compose.pictures import Integers, PngSequence, numbered
from services.errors import BadInput, BadOption, DeadlineExceeded
from services.stills import png, read_png, with_bits

PATTERN = "%05d.png"
TIMEOUT_SECONDS = 3600.0
_BEHIND = 128
"""Grey that a pipeline sees where the layer is not."""


def stylised(element: Element, folder: Path, *, check_stop: Callable[[], None]) -> Element:
    """`element` with its pictures in another style, unpacked into `folder`; as it is, if its style runs nothing.

    Raises:
        BadOption: the command or the pipeline is not there. BadInput: it fails, or gives other than it was asked for.
        DeadlineExceeded: the command takes over an hour.
    """
    style = element.change.style
    if style is None or not style.runs_code:
        return element
    room = Path(tempfile.mkdtemp(dir=folder))
    given, made = room / "input", room / "output"
    given.mkdir()
    made.mkdir()
    for index in range(element.pictures.frames):
        check_stop()
        (given / numbered(PATTERN, index)).write_bytes(png(element.pictures.read(index)))
    if style.command:
        _run([word.replace("{input}", str(given)).replace("{output}", str(made)) for word in style.command])
    else:
        assert style.diffusion is not None
        diffuse(style.diffusion, given, made, frames=element.pictures.frames, check_stop=check_stop)
    _check(given, made, frames=element.pictures.frames, peak=element.peak)
    pictures = PngSequence(Folder(made), PATTERN, 0, element.pictures.frames)
    return replace(element, pictures=pictures, change=replace(element.change, style=None))


def diffuse(
    wish: Diffusion, given: Path, made: Path, *, frames: int, check_stop: Callable[[], None] = lambda: None
) -> None:
    """Every frame of the folder `given` through the pipeline, into `made`. All start from the same noise, so that the
    style does not flicker more than it must."""
    import torch
    from diffusers import AutoPipelineForImage2Image
    from PIL import Image

    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        loader: Any = AutoPipelineForImage2Image
        pipeline = loader.from_pretrained(
            wish.model, torch_dtype=torch.float16 if device == "cuda" else torch.float32
        ).to(device)
    except (OSError, ValueError) as error:
        raise BadOption(
            f"the pipeline {wish.model!r} cannot be loaded ({' '.join(str(error).split())[:200]}); give the folder or "
            "the name of an image-to-image pipeline of diffusers.",
            field="stylise.diffusers.model",
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    for index in range(frames):
        check_stop()
        name = numbered(PATTERN, index)
        layer = read_png((given / name).read_bytes(), name)
        image = Image.fromarray(_over_grey(with_bits(layer, 8)))
        result = pipeline(
            prompt=wish.prompt,
            image=image,
            strength=wish.strength,
            num_inference_steps=wish.steps,
            generator=torch.Generator(device).manual_seed(wish.seed),
        ).images[0]
        color = np.asarray(result.convert("RGB").resize(image.size), dtype=np.uint8)
        (made / name).write_bytes(png(np.dstack([color, with_bits(layer, 8)[..., 3]])))


def _over_grey(layer: NDArray[np.uint8]) -> NDArray[np.uint8]:
    alpha = layer[..., 3:].astype(np.float32) / 255
    picture: NDArray[np.uint8] = np.rint(_BEHIND + alpha * (layer[..., :3] - np.float32(_BEHIND))).astype(np.uint8)
    return picture


def _run(command: list[str]) -> None:
    if shutil.which(command[0]) is None:
        raise BadOption(f"there is no program {command[0]!r}; check the path in stylise.command.", field="stylise")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise DeadlineExceeded(
            f"{command[0]} was stopped after {TIMEOUT_SECONDS:.0f} s; render fewer frames, or make it faster."
        ) from error
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[-300:]
        raise BadInput(f"{command[0]} ended with status {done.returncode}: {said or 'it said nothing'}.")


def _check(given: Path, made: Path, *, frames: int, peak: int) -> None:
    """What came back is a picture of the same size for every frame; those without alpha get the layer's own."""
    for index in range(frames):
        name = numbered(PATTERN, index)
        if not (made / name).is_file():
            raise BadInput(f"the style's program wrote no {name} into its output folder; it must write every frame.")
        image, layer = read_png((made / name).read_bytes(), name), read_png((given / name).read_bytes(), name)
        if image.shape[:2] != layer.shape[:2]:
            size = f"{image.shape[1]}x{image.shape[0]}"
            raise BadInput(f"the style's program wrote {name} at {size}; it must keep the size of its input.")
        if image.ndim == 2:
            image = np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB))
        kept: Integers = with_bits(image, 8 if peak == 255 else 16)
        if image.shape[2] == 3:
            kept = np.dstack([kept, layer[..., 3]])
        (made / name).write_bytes(png(kept))
