"""Stages that make real artifacts in no time, so that the orchestrator is tested for what it does itself.

A job's seed chooses how its Casper stage behaves, so that a test can say so in the job and in no other place.
Run as a program, this serves an orchestrator on these stages until it is killed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from orchestrator.runners.local import LocalRunner
from orchestrator.server import serving
from orchestrator.settings import EMBEDDED, Settings
from services.artifacts import Store
from services.errors import BadMask, BadVideo
from services.stage import Stage, Work

FAILS = 666
"""Seed of a job whose Casper stage fails."""

WAITS = 777
"""Seed of a job whose Casper stage runs until somebody stops it."""

TALKS = 888
"""Seed of a job whose Casper stage reports progress a thousand times."""

WAITS_FOR_FILE = 999
"""Seed of a job whose Casper stage runs until a file called "go" lies in the store's folder."""


CURSED = "cursed"
"""Label of an object whose layer fails for good."""

NO_MASK = b"no mask"
"""Content of an upload that is read as no mask."""


class Toy(Stage):
    """Writes its parameters as its output; `finish` writes a page and its inputs' addresses."""

    version = 1

    def __init__(self, name: str, folder: str) -> None:
        self.name = name  # type: ignore[misc]
        self._folder = folder

    def run(self, work: Work) -> dict[str, Any]:
        work.progress(1, 2, "frames")
        if self.name == "ingest" and work.params["kind"] == "video" and work.inputs["upload"].read("data") == b"text":
            raise BadVideo("clip.mp4 is not a video; send one.")
        if work.params.get("kind") == "mask" and work.inputs["upload"].read("data") == NO_MASK:
            raise BadMask("the mask cannot be read; send another.")
        if self.name == "omnimatte" and work.params["label"] == CURSED:
            raise BadVideo("nothing can be seen of the object; leave it out.")
        if self.name == "casper":
            time.sleep(0.002)  # enough to be measured
            self._behave(work)
        work.draft.put("params.json", repr(dict(work.params)).encode())
        if self.name == "preview":
            for label in work.params["labels"]:
                work.draft.put(f"masks/{label}.png", f"{label}@{work.params['frame']}".encode())
            return {"labels": list(work.params["labels"]), "coverage": [0.5] * len(work.params["labels"])}
        if self.name == "finish":
            work.draft.put("index.html", b"<html>page</html>")
            work.draft.put("empty.txt", b"")
            layers = [{"label": label} for label in work.params["layers"]]
            work.draft.put("layers.json", json.dumps({"frames": 3, "layers": layers}).encode())
            for label in work.params["layers"]:
                work.draft.put(f"layers/{label}/00000.png", label.encode() * 1000)
        if self.name == "compose":
            work.draft.put("composite.mp4", repr(sorted(work.inputs)).encode())
        work.progress(2, 2, "frames")
        return {"frames": 3, "width": 8, "height": 6, "recomposition_psnr": 40.0}

    def _behave(self, work: Work) -> None:
        seed = work.params["seed"]
        if seed == FAILS:
            raise BadVideo("the clip is too strange; send another.")
        if seed == TALKS:
            for i in range(1000):
                work.progress(i, 1000, "denoising")
        while seed == WAITS or (seed == WAITS_FOR_FILE and not _exists(self._folder)):
            work.check()
            work.progress(1, 2, "denoising", losses={"sparsity": 0.25}, preview=b"picture")
            time.sleep(0.01)


def _exists(folder: str) -> bool:
    from pathlib import Path

    return (Path(folder) / "go").exists()


def runner(store: str) -> LocalRunner:
    """A runner on toy stages."""
    return LocalRunner(Store(store), factory=lambda name: Toy(name, store))


async def _main(store: str, database_url: str, executor_id: str = EMBEDDED, **more: Any) -> None:
    settings = Settings(store=store, database_url=database_url, executor_id=executor_id, port=0, metrics_port=0, **more)
    async with serving(settings, runner(store)) as server:
        print(server.address, flush=True)
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
