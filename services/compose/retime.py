"""Which of a layer's frames is seen when: offset, speed, freeze, reverse, or a curve of one's own. Pure.

Must not know: pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.compose.keyframes import Curve

EDGES = ("hold", "hide", "loop", "pingpong")


@dataclass(frozen=True)
class Retime:
    """The way from a frame of the clip to one of the layer, applied in this order.

    Attributes:
        map: the layer's frame as a curve over the clip's frames; replaces offset, speed and reverse.
        offset: frames by which the layer comes later.
        speed: of the layer's time, over 0.
        reverse: whether it runs backwards, its last frame first.
        freeze: the one frame that is shown all the time; None: none.
        edge: what is seen before its first and after its last frame, one of EDGES.
        blend: whether a time between two frames mixes them, rather than taking the nearer one.
    """

    map: Curve | None = None
    offset: float = 0.0
    speed: float = 1.0
    reverse: bool = False
    freeze: int | None = None
    edge: str = "hold"
    blend: bool = False

    def at(self, frame: int, *, frames: int) -> float | None:
        """The layer's frame, 0 .. frames - 1, at the clip's `frame`; None where nothing is seen."""
        if self.freeze is not None:
            return float(self.freeze)
        last = frames - 1
        if self.map is not None:
            time = self.map.at(frame)[0]
        else:
            time = (frame - self.offset) * self.speed
            time = last - time if self.reverse else time
        if 0 <= time <= last:
            return time
        if self.edge == "hide":
            return None
        if self.edge == "loop":
            return time % frames if time % frames <= last else 0.0
        if self.edge == "pingpong" and last > 0:
            time %= 2 * last
            return min(time, 2 * last - time)
        return float(min(max(time, 0), last))


def nearest(time: float) -> int:
    """The frame nearest to `time`; of two, the later one."""
    return int(time + 0.5)
