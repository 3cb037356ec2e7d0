"""layers.json: what was delivered, how to read it, how good it is, and where it comes from.

Must not know: how any of it was computed. Its form is `layers.schema.json`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.compositing import psnr_of_error
from services.finish import provenance
from services.finish.deliver import Deliverables
from services.finish.sources import Sources

VERSION = 2


@dataclass(frozen=True)
class Measured:
    """What finish found out.

    Attributes:
        order: [T, M] positions of the composited objects, front to back.
        square_errors: mean squared error of each frame's recomposition, in codes.
        seconds: wall time of finish so far.
    """

    order: NDArray[np.int64]
    square_errors: list[float]
    seconds: float


def recomposition(measured: Measured, *, peak: int) -> dict[str, Any]:
    """PSNR of all layers over the background against the input: over the clip, and of the worst frame."""
    worst = int(np.argmax(measured.square_errors))
    return {
        "psnr_db": round(psnr_of_error(float(np.mean(measured.square_errors)), peak=peak), 3),
        "worst_frame": worst,
        "worst_psnr_db": round(psnr_of_error(measured.square_errors[worst], peak=peak), 3),
    }


def order_by_label(measured: Measured, sources: Sources) -> list[list[str]]:
    """Per frame, labels front to back."""
    labels = sources.labels
    return [[labels[k] for k in row] for row in measured.order]


def order_runs(measured: Measured, sources: Sources) -> list[dict[str, Any]]:
    """The order, one entry per change: {"frame": first frame, "front_to_back": [label, ...]}."""
    runs: list[dict[str, Any]] = []
    for index, row in enumerate(order_by_label(measured, sources)):
        if not runs or runs[-1]["front_to_back"] != row:
            runs.append({"frame": index, "front_to_back": row})
    return runs


def build(params: dict[str, Any], sources: Sources, deliverables: Deliverables, measured: Measured) -> dict[str, Any]:
    """The content of layers.json."""
    meta = sources.video.meta
    made = provenance.ancestors(sources.inputs)
    finish_row = {"stage": "finish", "subject": "all layers", "seconds": round(measured.seconds, 3), "address": ""}
    channels = deliverables.channels()
    return {
        "version": VERSION,
        "job": params.get("job"),
        "profile": str(params.get("profile", "")),
        "width": sources.width,
        "height": sources.height,
        "frames": sources.frames,
        "start_frame": deliverables.how.start_frame,
        "timecode": deliverables.timecode,
        "fps": meta["fps"],
        "timestamps": meta["timestamps"],
        "sample_aspect_ratio": meta["sample_aspect_ratio"],
        "bit_depth": meta["bit_depth"],
        "color": meta["color"],
        "audio": dict(meta["audio"]) | {"file": deliverables.sound_file} if meta["audio"] else None,
        "formats": deliverables.notes(),
        "background": {"files": deliverables.files()},
        "layers": [
            {"label": label, "files": deliverables.files(label)}
            | ({"channels": channels[label]} if label in channels else {})
            for label in deliverables.labels
        ],
        **deliverables.beside(),
        "occluders": [label for label in sources.labels if label not in deliverables.labels],
        "order": order_by_label(measured, sources),
        "recomposition": recomposition(measured, peak=sources.peak),
        "timings": [*provenance.timings(made), finish_row],
        "seeds": provenance.seeds(made),
        "digests": {
            "uploads": provenance.uploads(made),
            "inputs": {name: artifact.address for name, artifact in sources.inputs.items()},
        },
    }
