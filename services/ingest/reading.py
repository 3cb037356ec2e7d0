"""The way from the stage to its decoders, which run in a confined process.

Must not know: any decoder; they are named here, never imported.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import IO, Any, Literal

from services.errors import BadInput, OutOfSpace
from services.sandbox.allowance import Allowance
from services.sandbox.running import Broken, Sandbox
from services.sandbox.wire import Piece

_JOBS = {"video": "services.ingest.decoders:video", "mask": "services.ingest.decoders:mask"}
_WHY = {
    "crashed": "its decoder crashed on it; the file is damaged, so export it again.",
    "slow": "decoding it takes too long; the file is damaged or too large, so export it again, shorter or smaller.",
    "memory": "decoding it takes more memory than one file may use; export it again with smaller frames.",
    "nonsense": "decoding it gives nothing that makes sense; the file is damaged, so export it again.",
    "failed": "it cannot be decoded; the file is damaged, so export it again.",
}
_log = logging.getLogger(__name__)


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


@contextlib.contextmanager
def refusing(error: Callable[[str], BadInput]) -> Iterator[None]:
    """Turns Broken into what a user is told: `error(why)`, where `why` says what happened and what to do."""
    try:
        yield
    except Broken as broken:
        if broken.how == "killed":
            raise OutOfSpace(
                error("the system ended its decoder, most likely for want of memory;").message
                + " send the job again, or use a machine with more memory."
            ) from broken
        refused = error(_WHY[broken.how])
        _log.warning("%s (%s)", refused.message, broken)
        raise refused from broken
