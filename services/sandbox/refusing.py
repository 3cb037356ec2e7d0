"""What a user is told when a confined process came to a bad end.

Must not know: what it was to do.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

from services.errors import BadInput, OutOfSpace
from services.sandbox.running import Broken

_WHY = {
    "crashed": "its decoder crashed on it; the file is damaged, so export it again.",
    "slow": "decoding it takes too long; the file is damaged or too large, so export it again, shorter or smaller.",
    "memory": "decoding it takes more memory than one file may use; export it again with smaller frames.",
    "nonsense": "decoding it gives nothing that makes sense; the file is damaged, so export it again.",
    "failed": "it cannot be decoded; the file is damaged, so export it again.",
}
_log = logging.getLogger(__name__)


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
