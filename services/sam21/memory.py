"""What the model remembers of one object, in bounded memory.

SAM 2 looks back at a few spatial memories (`num_maskmem` - 1 latest frames and every frame the user spoke about) and at
the object pointers of some more frames. Nothing else of the past is kept here, so the bank does not grow with the clip;
it grows only with the number of frames that the user spoke about. The names in `entries` are those that `transformers`'
SAM 2 looks up. This module must not know how a memory is made.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

Entry = dict[str, Tensor]
FEATURES, POSITIONS, POINTER = "maskmem_features", "maskmem_pos_enc", "object_pointer"


@dataclass(frozen=True)
class Reach:
    """How far the model looks back from a frame: frames of spatial memory, and of object pointers."""

    spatial: int
    pointers: int


@dataclass
class Bank:
    """The memories of one object.

    Attributes:
        reach: how far the model looks back.
        start: the frame from which the object is followed both ways; what lies near it is needed again when the track
            turns round.
    """

    reach: Reach
    start: int
    _told: dict[int, Entry] = field(default_factory=dict)
    _shown: dict[int, Tensor] = field(default_factory=dict)
    _tracked: dict[int, Entry] = field(default_factory=dict)

    def tell(self, frame: int, entry: Entry, logits: Tensor) -> None:
        """Remember for good what the user said about `frame`: the memory, and the logits [1, h, w] to show there."""
        self._told[frame] = entry
        self._shown[frame] = logits
        self._tracked.pop(frame, None)

    def add(self, frame: int, entry: Entry) -> None:
        """Remember a tracked frame, and forget what is out of reach from here and from the start."""
        self._tracked[frame] = entry
        for t in list(self._tracked):
            distance = min(abs(frame - t), abs(self.start - t))
            if distance >= self.reach.pointers:
                del self._tracked[t]
            elif distance >= self.reach.spatial:
                self._tracked[t] = {POINTER: self._tracked[t][POINTER]}

    def told(self, frame: int) -> Tensor | None:
        """The logits [1, h, w] of a frame that the user spoke about, or None."""
        return self._shown.get(frame)

    @property
    def entries(self) -> dict[str, dict[int, Entry]]:
        """All memories by the kind of frame, under the model's names."""
        return {"cond_frame_outputs": self._told, "non_cond_frame_outputs": self._tracked}
