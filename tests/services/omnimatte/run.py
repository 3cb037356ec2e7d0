"""Runs the real stage on frames that a test made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.artifacts import Store, digest
from services.compositing import over, psnr
from services.omnimatte.stage import SCHEDULES, Omnimatte, Schedule
from services.stage import Params, Progress, Request, execute

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Layer:
    """What the stage wrote: float16 arrays as float32, and its meta."""

    alpha: Array
    rgb: Array
    meta: Params

    def recomposition_db(self, solo: Array, background: Array) -> float:
        """Both as the stage got them: in float16."""
        composed = over(self.rgb, self.alpha, background.astype(np.float16).astype(np.float32))
        return psnr(composed, solo.astype(np.float16).astype(np.float32), peak=1.0)


def decompose(
    folder: Path,
    arrays: Mapping[str, NDArray[Any]],
    *,
    seed: int = 0,
    label: str = "ball",
    schedule: str = "draft",
    schedules: Mapping[str, Schedule] = SCHEDULES,
    on_progress: Callable[[Progress], None] = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Layer:
    """The layer of object `label`.

    arrays: input name -> its frames; "ball" (and "cube", if there) are masks, object tracks in that order.
    """
    store = Store(str(folder))
    inputs = {}
    for name, array in arrays.items():
        address = digest([name, array.shape, seed])
        draft = store.draft(address, stage="test")
        kind = "masks" if name in ("ball", "cube") else "frames"
        draft.array(kind, shape=array.shape, dtype=str(array.dtype))[:] = array
        draft.commit(request={}, meta={})
        inputs[name] = address
    objects = [{"label": name, "input": name, "channel": 0} for name in ("ball", "cube") if name in arrays]
    request = Request("omnimatte", {"objects": objects, "label": label, "schedule": schedule, "seed": seed}, inputs)
    result = execute(Omnimatte(schedules), request, store, on_progress=on_progress, cancelled=cancelled)
    found = store.get(result.address)
    return Layer(
        alpha=np.asarray(found.array("alpha")[:]).astype(np.float32),
        rgb=np.asarray(found.array("rgb")[:]).astype(np.float32),
        meta=result.meta,
    )
