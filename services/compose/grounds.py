"""Pictures and videos of the user's that replace the background. They are as untrusted as any upload: a confined
process decodes them (`backdrop.py`, which is named here and never imported).

Must not know: layers, or any decoder.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from services.compose.delivery import Delivery
from services.compose.files import Files, Folder
from services.compose.pictures import Integers, Pictures, PngSequence, numbered, spooled
from services.errors import BadInput
from services.sandbox.refusing import refusing
from services.sandbox.running import Broken, Sandbox
from services.stills import png

_JOB = "services.compose.backdrop:frames"
_PATTERN = "%05d.png"


@dataclass(frozen=True)
class Repeated:
    """Pictures that begin again when they are over."""

    inner: Pictures
    frames: int

    def read(self, index: int) -> Integers:
        return self.inner.read(index % self.inner.frames)


def from_bytes(
    files: Files,
    path: str,
    *,
    kind: str,
    delivery: Delivery,
    folder: Path,
    check: Callable[[], None] = lambda: None,
) -> Pictures:
    """The background of `delivery`'s size and length in the file `path`; kind: "image" or "video".

    It is scaled to cover the frame; a shorter video begins again. check: raises to stop.
    Raises BadInput, BadVideo for what cannot be read or is too large.
    """
    target = Path(tempfile.mkdtemp(dir=folder))
    params = {"name": path, "kind": kind, "width": delivery.width, "height": delivery.height, "most": delivery.frames}
    sandbox = Sandbox((_JOB,))
    count = 0
    with (
        closing(sandbox),
        refusing(lambda why: BadInput(f"the background {path}: {why}", field=f"background.{kind}")),
        spooled(files, path, folder=folder) as file,
        closing(sandbox.run(_JOB, [file], params, check=check)) as pieces,
    ):
        for piece in pieces:
            if piece.array is None or piece.array.shape != (delivery.height, delivery.width, 3):
                raise Broken("nonsense", "a frame that is none")
            (target / numbered(_PATTERN, count)).write_bytes(png(piece.array))
            count += 1
    if not count:
        raise BadInput(f"{path} has no frames; give another background.", field=f"background.{kind}")
    return Repeated(PngSequence(Folder(target), _PATTERN, 0, count), delivery.frames)
