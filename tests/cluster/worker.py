"""services/worker.py with stages that do what their parameters say: `python -m tests.cluster.worker`.

$WORKER_LOG gets a line for each step that was really computed.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from services import worker
from services.errors import BadMask, Unavailable
from services.stage import Stage, Work


class Told(Stage):
    """Params: name; steps and pause (seconds of each); end: how it ends instead; times: how often, then it succeeds."""

    version = 1

    def __init__(self, name: str) -> None:
        self.name = name  # type: ignore[misc]

    def run(self, work: Work) -> dict[str, Any]:
        params = work.params
        steps = int(params.get("steps", 1))
        begun = int((work.checkpoint.load() or b"0").decode())
        for i in range(begun, steps):
            work.check()
            time.sleep(float(params.get("pause", 0.0)))
            _log(f"{params['name']} step {i}")
            work.checkpoint.save(str(i + 1).encode())
            work.progress(i + 1, steps, "steps")
        end = str(params.get("end", ""))
        if end and _count(f"{params['name']} ends") < int(params.get("times", 99)):
            _log(f"{params['name']} ends")
            _end(end)
        work.draft.put("told.txt", f"{params['name']} of {sorted(work.inputs)}".encode())
        return {"name": str(params["name"])}


def _end(how: str) -> None:
    if how == "bad":
        raise BadMask("the mask is empty; draw one.")
    if how == "away":
        raise Unavailable("the store is away; wait.")
    if how == "crash":
        os._exit(139)
    raise RuntimeError("nobody has thought of this")


def _log(line: str) -> None:
    with open(os.environ["WORKER_LOG"], "a") as log:
        log.write(f"{line}\n")


def _count(line: str) -> int:
    try:
        with open(os.environ["WORKER_LOG"]) as log:
            return log.read().splitlines().count(line)
    except FileNotFoundError:
        return 0


if __name__ == "__main__":
    sys.exit(worker.main(factory=Told))
