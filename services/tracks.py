"""Object masks as stages read them: one channel per object, overlaps resolved.

Tracks come from mask files (one artifact per object) or from the tracker (one artifact for several objects). A stage's
request lists the job's objects in order, each with the input that holds its track and the channel in it.
Must not know: who made a track.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.artifacts import Artifact

Masks = NDArray[np.uint8]


@dataclass(frozen=True)
class Track:
    """Object `label`'s masks: channel `channel` of array "masks" in the input named `input`."""

    label: str
    input: str
    channel: int


def parse(objects: Sequence[Mapping[str, Any]]) -> tuple[Track, ...]:
    """Tracks of a stage request's `objects` parameter: [{"label", "input", "channel"}, ...] in job order."""
    return tuple(Track(label=o["label"], input=o["input"], channel=int(o["channel"])) for o in objects)


def read(tracks: Sequence[Track], inputs: Mapping[str, Artifact], *, start: int, stop: int) -> Masks:
    """Masks of frames [start, stop): [t, H, W, N] uint8 0 or 255, channels in the order of `tracks`, disjoint."""
    channels = [np.asarray(inputs[track.input].array("masks")[start:stop, :, :, track.channel]) for track in tracks]
    return disjoint(np.stack(channels, axis=-1))


def disjoint(masks: Masks) -> Masks:
    """Give each pixel to one object only: the later object of the job wins, as in SAM 2's label maps.

    masks: [..., N] uint8 0 or 255. Returns the same shape.
    """
    result = masks.copy()
    covered = np.zeros(masks.shape[:-1], dtype=bool)
    for channel in reversed(range(masks.shape[-1])):
        result[..., channel][covered] = 0
        covered |= masks[..., channel] > 0
    return result
