"""Effect association (paper section 3.3, Eq. 1): what in a frame attends to an object, by a denoiser's self-attention.

    python -m training.response --video in.mp4 --mask object.mp4 --out r.png --frame 20
    python -m training.response --video in.mp4 --mask object.mp4 --out r.png --backbone casper-wan-1.3b --base MODEL

As in the paper's Fig. 5 the video itself is noised half way, denoised a little, and looked at on the way. A response
over the object's shadow that is higher than over the ground beside it means that the network connects the two.
Must not know: how a denoiser is built inside.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from services.errors import OmnimatteError
from training import denoisers
from training.attention import Grid, responses

Bytes = NDArray[np.uint8]


def picture(frame: Bytes, mask: Bytes, found: Mapping[Grid, NDArray[np.float32]], *, height: int = 288) -> Bytes:
    """Input, mask, and r(p) over the input for every grid, side by side: [height, W, 3] uint8.

    Colours run from zero to the highest response outside the object: what attends to it from afar is what matters.
    """
    size = (round(frame.shape[1] * height / frame.shape[0] / 2) * 2, height)
    shown = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    outline = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(outline, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    panels = [shown, np.repeat(outline[..., None], 3, axis=-1)]
    grey = np.repeat(cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=-1)
    for found_here in found.values():
        heat = cv2.resize(found_here, size, interpolation=cv2.INTER_CUBIC)
        limit = float(heat[outline == 0].max(initial=1e-6))
        scaled = (np.clip(heat / limit, 0, 1) * 255).astype(np.uint8)
        colours = cv2.cvtColor(cv2.applyColorMap(scaled, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
        panel = cv2.addWeighted(grey, 0.45, colours, 0.55, 0)
        panels.append(cv2.drawContours(np.ascontiguousarray(panel), contours, -1, (255, 255, 255), 1))
    return np.concatenate(panels, axis=1).astype(np.uint8)


def summary(grid: Grid, found: NDArray[np.float32], mask: Bytes) -> str:
    """One line: the response on the object and off it, and that of attention which is the same all over."""
    share = cv2.resize(mask, (grid.columns, grid.rows), interpolation=cv2.INTER_AREA) / 255
    on, off = found[share >= min(0.5, share.max())], found[share == 0]
    where = f"mean on the object {on.mean():.3f}, off it {off.mean():.3f} (highest {off.max(initial=0):.3f})"
    return f"{grid.columns}x{grid.rows} tokens: {where}; blind attention {share.mean():.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--mask", type=Path, required=True, help="video of the object's mask, white on black")
    parser.add_argument("--frame", type=int, help="frame to look at (default: the one that shows most of it)")
    parser.add_argument("--out", type=Path, required=True, help="PNG: input, mask, responses")
    parser.add_argument("--backbone", choices=denoisers.BACKBONES, default="compact")
    parser.add_argument("--weights", type=Path, help="weights of the denoiser (default: the shipped or the base's)")
    parser.add_argument("--base", type=Path, help="local folder of the pretrained model, for the large backbones")
    parser.add_argument("--caption", default="", help="what the large backbones are told that the video shows")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    try:
        clip = denoisers.read_clip(given.video, given.mask, frame=given.frame, backbone=given.backbone)
        denoiser = denoisers.make(
            given.backbone, clip, weights=given.weights, base=given.base, caption=given.caption, seed=given.seed
        )
        found = responses(denoiser, clip.masks[clip.frame], frame=clip.frame)
    except OmnimatteError as error:
        parser.exit(error.exit_code, f"{parser.prog}: {error.message}\n")
    for grid, values in found.items():
        print(summary(grid, values, clip.masks[clip.frame]))
    drawn = picture(clip.video[clip.frame], clip.masks[clip.frame], found)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_bytes(cv2.imencode(".png", drawn[..., ::-1])[1].tobytes())


if __name__ == "__main__":
    main()
