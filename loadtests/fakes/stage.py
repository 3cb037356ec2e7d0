"""A stage without a model: it takes its time, step by step, and writes the files that the control plane expects of it.

What is asked of it decides what it makes and how long it takes, and nothing else does. The first stage reads from the
upload what kind of clip it would be (`clip`), and every other passes that on.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from loadtests.fakes.tempo import Tempo
from services.artifacts import Artifact, digest
from services.errors import BadInput, NotFound, Unavailable
from services.stage import Stage, Work

_STEP_SECONDS = 0.1


@dataclass
class Trouble:
    """What is wrong with a server at the moment. slow: its runs take so many times as long. store_seconds: what each
    run waits for the store beside that."""

    slow: float = 1.0
    store_seconds: float = 0.0


def clip(kind: str, number: int, *, frames: int) -> bytes:
    """The bytes of an upload that stands for a clip, different for each `number`."""
    return json.dumps({"kind": kind, "number": number, "frames": frames}).encode()


class FakeStage(Stage):
    """See above. Thread-safe."""

    version = 1

    def __init__(self, name: str, tempo: Tempo, trouble: Trouble | None = None) -> None:
        """trouble: looked at in every step, so that it may change."""
        self.name = name  # type: ignore[misc]
        self._tempo, self._trouble = tempo, trouble or Trouble()
        self._failed: set[str] = set()

    def run(self, work: Work) -> dict[str, Any]:
        kind = kind_of(work)
        inputs = {name: one.address for name, one in work.inputs.items()}
        key = digest({"stage": self.name, "params": dict(work.params), "inputs": inputs})
        self._hold(work, self._tempo.seconds(self.name, kind, key))
        self._raise_fault(key)
        time.sleep(self._trouble.store_seconds)
        return {**self._written(work), "kind": kind, "frames": 3, "width": 8, "height": 6, "recomposition_psnr": 40.0}

    def _hold(self, work: Work, seconds: float) -> None:
        """`done` grows by what of the run passes, which a slow server makes less."""
        done, total = 0.0, max(1, round(seconds))
        told = 0
        while done < seconds:
            work.check()
            step = min(_STEP_SECONDS, (seconds - done) * self._trouble.slow)
            time.sleep(step)
            done += step / self._trouble.slow
            if int(done) > told:
                told = int(done)
                work.progress(min(told, total), total, "steps")

    def _raise_fault(self, key: str) -> None:
        fault = self._tempo.fails(key)
        if fault == "bad":
            raise BadInput(f"{self.name} cannot be done: the load test wants it to fail.")
        if fault and key not in self._failed:
            self._failed.add(key)
            raise Unavailable(f"the instance of {self.name} died: the load test wants it to, once.")

    def _written(self, work: Work) -> dict[str, Any]:
        work.draft.put("asked.txt", repr(sorted(work.params.items())).encode())
        if self.name == "preview":
            labels = list(work.params["labels"])
            for label in labels:
                work.draft.put(f"masks/{label}.png", label.encode())
            return {"labels": labels, "coverage": [0.5] * len(labels)}
        if self.name == "finish":
            for label in work.params["layers"]:
                work.draft.put(f"layers/{label}/00000.png", label.encode() * 1000)
        return {}


def kind_of(work: Work) -> str:
    """What kind of clip the work is about; "" if it does not say."""
    for artifact in work.inputs.values():
        kind = artifact.meta.get("kind") or _uploaded(artifact)
        if kind:
            return str(kind)
    return ""


def _uploaded(artifact: Artifact) -> str:
    try:
        return str(json.loads(artifact.read("data"))["kind"])
    except (NotFound, ValueError, KeyError, TypeError):
        return ""
