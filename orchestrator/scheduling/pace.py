"""How often a replica does what. Must not know: how it is done."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """How often a replica does what, in seconds.

    Attributes:
        look: between two looks at the queue when nobody rings, and at jobs of ours that another replica was asked to
            stop.
        beat: between two signs of life. silent: after so long without one a replica is taken for dead.
    """

    look: float = 0.5
    beat: float = 3.0
    silent: float = 15.0
