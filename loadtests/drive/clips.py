"""What an order uploads: bytes that stand for a clip, or a real clip, never the same twice.

Must not know: how it is sent.
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from loadtests.fakes.stage import clip
from loadtests.orders import Order
from services.errors import BadOption


@dataclass(frozen=True)
class Uploads:
    """The video, and each object's mask by label."""

    video: bytes
    masks: dict[str, bytes]
    suffix: str


class Clips(Protocol):
    def of(self, order: Order) -> Uploads:
        """Its uploads, which nobody has uploaded before."""


class FakeClips:
    """For stands of fakes. Different also from those of another run on the same store."""

    def __init__(self) -> None:
        self._run = uuid.uuid4().hex

    def of(self, order: Order) -> Uploads:
        """See `Clips`."""
        masks = {f"object-{i}": f"{self._run} {order.number} {i}".encode() for i in range(order.objects)}
        number = uuid.uuid5(uuid.UUID(self._run), str(order.number)).int
        return Uploads(clip(order.kind, number, frames=order.frames), masks, ".bin")


class RealClips:
    """Folders `<kind>/` with `input.mp4` and `mask_<label>.mp4`. Each upload gets a box that players leave alone."""

    def __init__(self, folder: Path) -> None:
        """Raises BadOption if `folder` has no clips."""
        self._files = {
            kind.name: {path.stem: path.read_bytes() for path in sorted(kind.glob("*.mp4"))}
            for kind in sorted(folder.iterdir())
            if (kind / "input.mp4").is_file()
        }
        if not self._files:
            raise BadOption(f"{folder} holds no clips; make them with `python -m loadtests clips {folder}`.")

    def of(self, order: Order) -> Uploads:
        """See `Clips`."""
        files = self._files.get(order.kind)
        if files is None:
            raise BadOption(f"there is no clip of the kind {order.kind!r}; there are {', '.join(self._files)}.")
        masks = {name.removeprefix("mask_"): data for name, data in files.items() if name.startswith("mask_")}
        chosen = dict(list(masks.items())[: order.objects])
        return Uploads(unlike(files["input"]), {label: unlike(data) for label, data in chosen.items()}, ".mp4")


def unlike(mp4: bytes) -> bytes:
    """The same clip with another digest: a `free` box with random bytes at its end (ISO/IEC 14496-12, 8.1.2)."""
    return mp4 + struct.pack(">I4s", 8 + 16, b"free") + uuid.uuid4().bytes
