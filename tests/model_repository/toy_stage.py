"""A stage small enough to follow: it counts. What it does is chosen by its parameters."""

from __future__ import annotations

import os
import time
from pathlib import Path

from services.errors import BadMask
from services.stage import Params, Stage, Work


class Toy(Stage):
    name = "toy"
    version = 1

    def run(self, work: Work) -> Params:
        """`steps` steps of `seconds` each; `fail` names how it ends, if not well."""
        params = work.params
        steps = int(params.get("steps", 3))
        work.draft.put("half", b"made")
        for step in range(steps):
            work.check()
            time.sleep(float(params.get("seconds", 0.0)))
            work.progress(step + 1, steps, "counting")
        match params.get("fail"):
            case "mask":
                raise BadMask("the mask 'vase.png' is empty; draw something in it.", field="objects[0].mask")
            case "fault":
                raise ZeroDivisionError("nothing to divide by")
            case "exit":
                raise SystemExit(3)
            case "crash":
                os._exit(3)
        work.draft.put("out.txt", b"counted")
        return {"steps": steps, "met": _meet(params["meet"], params["other"])} if "meet" in params else {"steps": steps}


def _meet(me: str, other: str) -> bool:
    """Whether the request `other` was under way at the same time; gives up after a while."""
    meeting = Path(os.environ["OMNIMATTE_STORE"]) / "meeting"
    meeting.mkdir(exist_ok=True)
    (meeting / me).touch()
    deadline = time.monotonic() + 20
    while not (meeting / other).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return (meeting / other).exists()
