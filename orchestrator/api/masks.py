"""Which fields of a message a caller wants (AIP-157): everything else stays away.

Must not know: which message.
"""

from __future__ import annotations

from typing import Any, TypeVar

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from services.errors import BadInput

M = TypeVar("M", bound=Message)


def check_mask(mask: FieldMask, kind: type[Message]) -> None:
    """Raises BadInput if the mask names a field that `kind` does not have."""
    # Its types know only one of the two descriptors that protobuf has.
    descriptor: Any = kind.DESCRIPTOR
    for path in mask.paths:
        if path != "*" and not FieldMask(paths=[path]).IsValidForDescriptor(descriptor):
            raise BadInput(
                f"read_mask: {descriptor.name} has no field {path!r}; see the API's description.", field="read_mask"
            )


def masked(message: M, mask: FieldMask) -> M:
    """The fields of the message that the mask names; all of them for an empty mask or "*"."""
    if not mask.paths or "*" in mask.paths:
        return message
    kept = type(message)()
    mask.MergeMessage(message, kept)
    return kept


def wants(mask: FieldMask, field: str) -> bool:
    """Whether `field`, or something in it, is wanted."""
    return not mask.paths or any(path == "*" or path.split(".")[0] == field for path in mask.paths)
