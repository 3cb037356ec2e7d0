"""The audit log: who changed what, when, and how it went; one line of JSON for each call.

    {"time": "2025-01-31T12:00:00.000Z", "tenant": "studio", "caller": "key:5f0c...", "peer": "ipv4:10.0.0.7:51234",
     "call": "CreateJob", "subject": "jobs/0193f5...", "outcome": "OK"}

Must not know: what a call means. It is given no secret, so it can write none.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import TextIOWrapper

from orchestrator.access.caller import Caller
from services.errors import BadOption

_MAX_TEXT = 160


class Audit:
    """Writes the log through a logger of its own."""

    def __init__(self, logger: logging.Logger, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._logger = logger
        self._clock = clock

    def record(self, caller: Caller | None, *, call: str, subject: str, outcome: str, peer: str) -> None:
        """Write a line. `caller` is None where nobody proved to be one; texts are cut to 160 characters."""
        line = {
            "time": self._clock().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "tenant": caller.tenant if caller else "",
            "caller": caller.name if caller else "",
            "peer": peer,
            "call": call,
            "subject": subject,
            "outcome": outcome,
        }
        # JSON escapes line breaks and other characters of control: nobody can forge a line with a name.
        self._logger.info("%s", json.dumps({name: text[:_MAX_TEXT] for name, text in line.items()}))


@contextmanager
def auditing(target: str) -> Iterator[Audit]:
    """A log that goes to the file `target`, to the standard error stream for "-", nowhere for "".

    The file may be renamed while it is written (logrotate); the next line begins a new one. Only its owner can read it.

    Raises:
        BadOption: the file cannot be written.
    """
    # Not from logging's tree: what the host program sets up there must not swallow or double these lines.
    logger = logging.Logger("omnimatte.audit", logging.INFO)
    handler = _handler(target)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    try:
        yield Audit(logger)
    finally:
        handler.close()


def _handler(target: str) -> logging.Handler:
    if not target:
        return logging.NullHandler()
    if target == "-":
        return logging.StreamHandler(sys.stderr)
    try:
        return _PrivateFile(target, encoding="utf-8")
    except OSError as error:
        raise BadOption(f"the audit log {target} cannot be written ({error.strerror}); choose another file.") from error


class _PrivateFile(logging.handlers.WatchedFileHandler):
    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600))
