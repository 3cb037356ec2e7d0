"""What the decoder says of a clip, read strictly: a decoder that a file has taken over may say anything.

Must not know: any decoder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.sandbox.running import Broken
from services.sandbox.wire import Piece
from services.video.limits import LIMITS

_FRACTION = re.compile(r"\d{1,20}/[1-9]\d{0,19}")


@dataclass(frozen=True)
class Opening:
    """Known before the frames: their number as the file promises it (0 unknown), size in pixels, and coding."""

    frames: int
    height: int
    width: int
    bit_depth: int
    sample_aspect_ratio: str
    color: Mapping[str, Any]

    @classmethod
    def of(cls, piece: Piece | None) -> Opening:
        """Raises Broken."""
        facts = _facts(piece)
        color = facts.get("color")
        if not isinstance(color, dict) or len(color) > 8 or not all(map(_is_word, color.values())):
            raise Broken("nonsense", "no colour")
        return cls(
            frames=_whole(facts, "frames", 0, LIMITS.max_frames),
            height=_whole(facts, "height", 1, LIMITS.max_pixels),
            width=_whole(facts, "width", 1, LIMITS.max_pixels),
            bit_depth=_whole(facts, "bit_depth", 8, 32),
            sample_aspect_ratio=_fraction(facts, "sample_aspect_ratio"),
            color=color,
        )


@dataclass(frozen=True)
class Ending:
    """Known after them: the rate, the times of frames where it varies, and facts of the sound."""

    fps: str
    timestamps: Mapping[str, Any] | None
    audio: Mapping[str, Any] | None

    @classmethod
    def of(cls, piece: Piece | None, *, frames: int) -> Ending:
        """Raises Broken."""
        facts = _facts(piece)
        times, audio = facts.get("timestamps"), facts.get("audio")
        if times is not None:
            pts = times.get("pts") if isinstance(times, dict) else None
            if not isinstance(pts, list) or len(pts) != frames or not all(type(t) is int for t in pts):
                raise Broken("nonsense", "no timestamps")
            times = {"time_base": _fraction(times, "time_base"), "pts": pts}
        if audio is not None:
            if not isinstance(audio, dict) or not _is_word(audio.get("codec")):
                raise Broken("nonsense", "no sound")
            audio = {
                "codec": audio["codec"],
                "rate": _whole(audio, "rate", 0, 1 << 31),
                "channels": _whole(audio, "channels", 0, 1 << 16),
            }
        return cls(fps=_fraction(facts, "fps"), timestamps=times, audio=audio)


def _facts(piece: Piece | None) -> Mapping[str, Any]:
    if piece is None or piece.array is not None:
        raise Broken("nonsense", "no facts")
    return piece.facts


def _whole(facts: Mapping[str, Any], name: str, low: int, high: int) -> int:
    value = facts.get(name)
    if type(value) is not int or not low <= value <= high:
        raise Broken("nonsense", f"no {name}")
    return value


def _fraction(facts: Mapping[str, Any], name: str) -> str:
    value = facts.get(name)
    if not isinstance(value, str) or not _FRACTION.fullmatch(value):
        raise Broken("nonsense", f"no {name}")
    return value


def _is_word(value: object) -> bool:
    return isinstance(value, bool) or (isinstance(value, str) and len(value) <= 80)
