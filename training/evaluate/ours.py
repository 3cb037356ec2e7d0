"""Our own stages as a method, each run through the store exactly as a job would run it.

The switches of the paper's ablations change what the stages are given, not the stages: Table 4 paints removed objects
grey in the video that Casper sees, or tells it to keep all that it need not remove; Fig. 9c takes a layer's colours
from the input.
Must not know: ground truth, other than the masks that a job gets.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services import frames as sizes
from services.artifacts import Store, digest
from services.casper.compact import WEIGHTS
from services.casper.stage import Casper
from services.depth.stage import Depth
from services.finish import ordering
from services.finish.sources import Sources
from services.finish.transfer import finish_frame
from services.omnimatte.stage import Omnimatte
from services.plate.stage import PlateStage
from services.ssr.stage import WEIGHTS as SSR_WEIGHTS
from services.ssr.stage import Ssr
from services.stage import Request, Stage, execute
from services.trimask import REMOVE
from training.data.scenes import Scene
from training.evaluate.methods import Answer, Decomposition, Keep, Video, to_float
from training.evaluate.regions import trimasks

_GREY = 128
_RUN = "run"


@dataclass(frozen=True)
class Options:
    """How our stages are run.

    Attributes:
        steps: Casper's denoising steps. schedule: the solver's. seed: of everything.
        native: score at the scene's own size, through super-resolution; else at base resolution.
        layers: also solve every object's layer, and order them.
        masked_rgb: Casper sees grey where an object is to be removed. binary: it is told to keep all the rest.
        copied_rgb: a layer's colours are the input's.
    """

    steps: int = 1
    schedule: str = "fast"
    seed: int = 0
    native: bool = False
    layers: bool = False
    masked_rgb: bool = False
    binary: bool = False
    copied_rgb: bool = False


@dataclass(frozen=True)
class Ours:
    """The compact models, with Casper's weights from `weights` and super-resolution's from `ssr`."""

    options: Options = field(default_factory=Options)
    weights: Path = WEIGHTS
    ssr: Path = SSR_WEIGHTS
    stages: Mapping[str, Stage] = field(init=False)

    def __post_init__(self) -> None:
        made = (PlateStage(), Casper(self.weights), Ssr(self.ssr), Depth(), Omnimatte())
        object.__setattr__(self, "stages", {stage.name: stage for stage in made})

    def __call__(self, scene: Scene, keeps: Sequence[Keep]) -> Answer:
        with tempfile.TemporaryDirectory() as home:
            run = _Run(self, scene, Store(home))
            # Loading a network is paid once per process; a clip's seconds are without it.
            for name in ("casper", *(("ssr",) if run.enlarges else ()), *(("depth",) if self.options.layers else ())):
                self.stages[name].load({})
            started = time.perf_counter()
            wanted = list(keeps)
            if self.options.layers and scene.objects > 1:
                wanted += [(n,) for n in range(scene.objects) if (n,) not in keeps]
            videos = {keep: run.video(keep) for keep in dict.fromkeys([*wanted, ()])}
            layers = run.layers() if self.options.layers else None
            seconds = time.perf_counter() - started
        return Answer({keep: videos[keep] for keep in keeps}, layers, seconds)


class _Run:
    """One scene going through the stages. Stages' outputs are found by address, so nothing is made twice."""

    def __init__(self, method: Ours, scene: Scene, store: Store) -> None:
        self.method, self.scene, self.store, self.options = method, scene, store, method.options
        self.enlarges = self.options.native or self.options.layers
        self.labels = [f"object{n}" for n in range(scene.objects)]
        self.objects: list[Mapping[str, Any]] = [
            {"label": label, "input": "tracks", "channel": n} for n, label in enumerate(self.labels)
        ]
        self.inputs = {
            "video": self._put("video", "frames", scene.video),
            "tracks": self._put("m", "masks", scene.masks),
        }

    def video(self, keep: Keep) -> Video:
        address = self._ssr(keep) if self.enlarges else self._casper(keep)
        found = np.asarray(self.store.get(address).array("frames")[:]).astype(np.float32)
        return np.asarray(np.clip(sizes.resized(found, *self.scene.video.shape[1:3]), 0, 1), np.float32)

    def layers(self) -> Decomposition:
        """Every object's layer, with detail transfer (paper App. D), and their order in every frame."""
        names = {f"layer/{label}": self._layer(n) for n, label in enumerate(self.labels)}
        depth = self._execute("depth", {"objects": self.objects}, self.inputs)
        inputs = {**self.inputs, "background": self._ssr(()), "depth": depth, **names}
        sources = Sources({name: self.store.get(address) for name, address in inputs.items()}, self.objects)
        order = ordering.of_clip(sources, lambda: None)
        done = [
            finish_frame(frame, [int(k) for k in order[frame.index]], objects=sources.composited, peak=255)
            for block in sources.blocks()
            for frame in sources.read(block)
        ]
        layers = np.stack([np.stack([to_float(one.layers[n]) for one in done]) for n in range(len(self.labels))])
        return Decomposition(layers, to_float(np.stack([one.background for one in done])), order[:, ::-1].copy())

    def _casper(self, keep: Keep) -> str:
        params = {
            "objects": self.objects,
            "runs": {_RUN: [self.labels[n] for n in keep]},
            "seed": self.options.seed,
            "steps": self.options.steps,
        }
        inputs = dict(self.inputs)
        if self.options.masked_rgb:
            hidden = trimasks(self.scene.masks, keep=keep) == REMOVE
            grey = np.where(hidden[..., None], np.uint8(_GREY), self.scene.video)
            inputs["video"] = self._put(f"grey{keep}", "frames", grey)
        if self.options.binary:
            everything = np.full((*self.scene.video.shape[:3], 1), 255, np.uint8)
            inputs["preserve"] = self._put("preserve", "masks", everything)
        return f"{self._execute('casper', params, {**inputs, 'plate': self._plate()})}/{_RUN}"

    def _plate(self) -> str:
        """Of the input as it is, in the ablations too: it shows no object anyway."""
        params = {"objects": self.objects, "long_side": max(16, *self.scene.video.shape[1:3])}
        return self._execute("plate", params, self.inputs)

    def _ssr(self, keep: Keep) -> str:
        params = {
            "objects": self.objects,
            "keep": [self.labels[n] for n in keep],
            "long_side": max(16, *self.scene.video.shape[1:3]),
        }
        made = {"casper": self._casper(keep), "plate": self._plate()}
        return self._execute("ssr", params, {**self.inputs, **made})

    def _layer(self, n: int) -> str:
        params = {
            "objects": self.objects,
            "label": self.labels[n],
            "schedule": self.options.schedule,
            "seed": self.options.seed,
        }
        inputs = {**self.inputs, "background": self._casper(()), "background_ssr": self._ssr(())}
        if len(self.labels) > 1:
            inputs |= {"solo": self._casper((n,)), "solo_ssr": self._ssr((n,))}
        solved = self._execute("omnimatte", params, inputs)
        return self._copied(solved) if self.options.copied_rgb else solved

    def _copied(self, solved: str) -> str:
        """The same layer with the input's colours (Fig. 9c)."""
        alpha = np.asarray(self.store.get(solved).array("alpha")[:])
        rgb = sizes.resized(to_float(self.scene.video), *alpha.shape[1:3]).astype(np.float16)
        return self._put_all(f"copied {solved}", {"alpha": alpha, "rgb": rgb})

    def _execute(self, name: str, params: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
        return execute(self.method.stages[name], Request(name, params, inputs), self.store).address

    def _put(self, name: str, kind: str, array: NDArray[Any]) -> str:
        return self._put_all(name, {kind: array})

    def _put_all(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> str:
        draft = self.store.draft(digest(name), stage="evaluate")
        for kind, array in arrays.items():
            draft.array(kind, shape=array.shape, dtype=str(array.dtype))[:] = array
        frames, height, width = next(iter(arrays.values())).shape[:3]
        return draft.commit(request={}, meta={"frames": frames, "height": height, "width": width}).address
