"""The stage `ingest`: decodes what a user sent, once, so that every later stage reads exact frames from the store.

    kind "video": upload -> frames [T, H, W, 3], audio.mka
    kind "mask":  upload, video -> masks [T, H, W, 1]

The bytes are decoded in a confined process (`decoders.py`, reached through `reading.py`); this one never parses them.
Must not know: what the clip is needed for.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from services.artifacts import Artifact
from services.errors import BadOption
from services.ingest import clip, mask, reading
from services.sandbox.running import Sandbox
from services.stage import Params, Stage, Work

_NAME_CHARACTERS = 255


class Ingest(Stage):
    name = "ingest"
    version = 1

    def __init__(self, decoders: Sandbox | None = None) -> None:
        """decoders: where files are decoded; by default a sandbox of its own, which goes with the stage."""
        self._decoders = decoders or reading.sandbox()

    def run(self, work: Work) -> Params:
        """Raises BadVideo, BadMask, or BadOption for an unknown `kind`."""
        kind = work.params.get("kind")
        with _local(work.inputs["upload"]) as (file, name):
            if kind == "video":
                return clip.ingest(work, file, name, decoders=self._decoders)
            if kind == "mask":
                return mask.ingest(work, file, name, label=str(work.params["label"]), decoders=self._decoders)
        raise BadOption(f"ingest has no kind {kind!r}; it is 'video' or 'mask'.", field="kind")


@contextlib.contextmanager
def _local(upload: Artifact) -> Iterator[tuple[BinaryIO, str]]:
    """The upload as a seekable local file, and the name that its sender gave it."""
    name = Path(str(upload.meta.get("filename") or "upload")).name[-_NAME_CHARACTERS:]
    with tempfile.TemporaryFile() as file:
        for piece in upload.chunks("data"):
            file.write(piece)
        file.seek(0)
        yield file, name
