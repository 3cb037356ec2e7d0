"""The way from the stage to its decoders, which run in a confined process.

Must not know: any decoder; they are named here, never imported.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import IO, Any, Literal

from services.sandbox.allowance import Allowance
from services.sandbox.running import Sandbox
from services.sandbox.wire import Piece

_JOBS = {"video": "services.ingest.decoders:video", "mask": "services.ingest.decoders:mask"}


def sandbox(allowance: Allowance | None = None) -> Sandbox:
    """A sandbox for the decoders."""
    return Sandbox(tuple(_JOBS.values()), allowance=allowance)


def pieces(
    decoders: Sandbox,
    job: Literal["video", "mask"],
    files: Sequence[IO[bytes]],
    params: Mapping[str, Any],
    *,
    check: Callable[[], None],
) -> Generator[Piece, None, None]:
    """What the decoder answers; close it when done. Raises Broken, and what the decoder raises for the user."""
    return decoders.run(_JOBS[job], files, params, check=check)
