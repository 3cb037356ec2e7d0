"""The one tree of errors, shared by every process.

    OmnimatteError
    |-- BadInput            the caller must change something         INVALID_ARGUMENT    exit 2
    |   |-- BadVideo        the clip cannot be read or is out of limits
    |   |-- BadMask         a mask is unreadable, empty, or does not fit its clip
    |   |-- BadPrompt       a box or point is outside the clip
    |   `-- BadOption       an option has no such value
    |-- Unauthenticated     nobody knows who is calling            UNAUTHENTICATED     exit 6
    |-- PermissionDenied    the caller is known and may not        PERMISSION_DENIED   exit 6
    |-- NotFound            no such job, upload or artifact          NOT_FOUND           exit 3
    |-- AlreadyExists       the name is taken by different content   ALREADY_EXISTS      exit 3
    |-- Conflict            the job is not in a state that allows it FAILED_PRECONDITION exit 3
    |-- Cancelled           somebody asked for it                    CANCELLED           exit 130
    |-- OutOfSpace          the store or the disk is full            RESOURCE_EXHAUSTED  exit 4
    |-- Busy                too much is waiting or under way         RESOURCE_EXHAUSTED  exit 4
    |-- DeadlineExceeded    the job's time is over                   DEADLINE_EXCEEDED   exit 5
    |-- Unavailable         a service is down, a port is in use      UNAVAILABLE         exit 5
    `-- Internal            a fault of ours                          INTERNAL            exit 70

Each message is one sentence that says what happened, to what, and what to do next. An error crosses a process
boundary as `encode()` text and comes back as the same class through `decode()`.
Must not know: any transport. It only names the status that each transport maps.
"""

from __future__ import annotations

import errno
import json
from typing import ClassVar


class OmnimatteError(Exception):
    """Root of the tree.

    Attributes:
        reason: machine-readable name, UPPER_SNAKE; stable across releases.
        status: name of the gRPC status code that the error answers with.
        exit_code: exit status of a command that ends with the error.
        retryable: whether the same request may succeed when it is simply sent again.
        field: path of the offending field in the request ("objects[1].mask"), or "".
        retry_after: seconds after which it makes sense to try again; 0 where nobody knows.
    """

    reason: ClassVar[str] = "INTERNAL"
    status: ClassVar[str] = "INTERNAL"
    exit_code: ClassVar[int] = 70
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, field: str = "", retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.field = field
        self.retry_after = retry_after

    @property
    def message(self) -> str:
        return str(self.args[0])


class BadInput(OmnimatteError):
    reason, status, exit_code = "BAD_INPUT", "INVALID_ARGUMENT", 2


class BadVideo(BadInput):
    reason = "BAD_VIDEO"


class BadMask(BadInput):
    reason = "BAD_MASK"


class BadPrompt(BadInput):
    reason = "BAD_PROMPT"


class BadOption(BadInput):
    reason = "BAD_OPTION"


class Unauthenticated(OmnimatteError):
    reason, status, exit_code = "UNAUTHENTICATED", "UNAUTHENTICATED", 6


class PermissionDenied(OmnimatteError):
    reason, status, exit_code = "PERMISSION_DENIED", "PERMISSION_DENIED", 6


class NotFound(OmnimatteError):
    reason, status, exit_code = "NOT_FOUND", "NOT_FOUND", 3


class AlreadyExists(OmnimatteError):
    reason, status, exit_code = "ALREADY_EXISTS", "ALREADY_EXISTS", 3


class Conflict(OmnimatteError):
    reason, status, exit_code = "CONFLICT", "FAILED_PRECONDITION", 3


class Cancelled(OmnimatteError):
    reason, status, exit_code = "CANCELLED", "CANCELLED", 130


class OutOfSpace(OmnimatteError):
    reason, status, exit_code = "OUT_OF_SPACE", "RESOURCE_EXHAUSTED", 4


class Busy(OmnimatteError):
    reason, status, exit_code, retryable = "BUSY", "RESOURCE_EXHAUSTED", 4, True


class DeadlineExceeded(OmnimatteError):
    reason, status, exit_code = "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", 5


class Unavailable(OmnimatteError):
    reason, status, exit_code, retryable = "UNAVAILABLE", "UNAVAILABLE", 5, True


class Internal(OmnimatteError):
    pass


def tree() -> dict[str, type[OmnimatteError]]:
    """Every class of the tree that can cross a wire, by its `reason`."""
    found: dict[str, type[OmnimatteError]] = {}
    pending: list[type[OmnimatteError]] = [OmnimatteError]
    while pending:
        cls = pending.pop()
        pending.extend(cls.__subclasses__())
        found[cls.reason] = cls
    found["INTERNAL"] = Internal
    return found


def encode(error: OmnimatteError) -> str:
    """One line of JSON: {"reason", "message", "field"}."""
    return json.dumps({"reason": error.reason, "message": error.message, "field": error.field})


def decode(text: str) -> OmnimatteError:
    """The error that `encode` wrote, also when a server put words of its own before it; otherwise Internal(text)."""
    start = text.find('{"reason"')
    try:
        data, _ = json.JSONDecoder().raw_decode(text[start:]) if start >= 0 else ({}, 0)
        return tree()[data["reason"]](data["message"], field=data.get("field", ""))
    except (KeyError, ValueError):
        return Internal(text)


def from_exception(error: BaseException, *, doing: str) -> OmnimatteError:
    """The member of the tree that says what `error` means to a user; `doing` names the work and its input."""
    if isinstance(error, OmnimatteError):
        return error
    if isinstance(error, MemoryError):
        return OutOfSpace(f"{doing}: out of memory; use a shorter or smaller clip, or a machine with more memory.")
    if _means_disk_full(error):
        return OutOfSpace(f"{doing}: no space left on the store's disk; free some space and send the job again.")
    return Internal(f"{doing}: {type(error).__name__}: {error}")


def _means_disk_full(error: BaseException | None) -> bool:
    # Storage libraries wrap the operating system's error, some only in their text.
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if "No space left on device" in str(error) or "os error 28" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
