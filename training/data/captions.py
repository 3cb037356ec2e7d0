"""One sentence about a clip, from what it was made of (the paper uses BLIP-2; what made a clip knows better).

The sentence describes the target, so an object that is removed is not in it. Must not know: pixels.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

_NUMBERS = ("no", "a", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_NOISE = re.compile(r"[_\-\s\d.]+")
_AUTHOR = re.compile(r"_+by_+.*$", re.IGNORECASE)


def thing(path: Path) -> str:
    """What a cut-out shows: the first line of the description beside it, or its file name as words."""
    try:
        line = path.with_suffix(".txt").read_text(encoding="utf-8", errors="replace").splitlines()[0]
    except (OSError, IndexError):
        line = ""
    words = line.strip().rstrip(".!").lower()
    words = re.sub(r"^(an?|the|this is an?) ", "", words)
    return words if 0 < len(words) <= 60 else _words(path.stem)


def place(path: Path | None) -> str:
    """What a photograph shows, by its file (or, for a wallpaper of many sizes, its folder); None is plain ground."""
    if path is None:
        return "plain ground"
    sized = path.stem.replace("x", "").isdigit() and len(path.parents) > 2
    return _words(path.parents[2].name if sized else path.stem)


def caption(where: str, things: Sequence[str] = (), *, camera: str = "") -> str:
    """One sentence: "Two oranges and a red car in front of dune, filmed by a moving camera."

    things: kinds of the objects that stay; camera: "a moving camera", "a static camera" or "".
    """
    filmed = f", filmed by {camera}" if camera else ""
    if not things:
        return f"An empty view of {where}{filmed}."
    counted = [_count(kind, number) for kind, number in Counter(things).items()]
    listed = counted[0] if len(counted) == 1 else f"{', '.join(counted[:-1])} and {counted[-1]}"
    return f"{listed[0].upper()}{listed[1:]} in front of {where}{filmed}."


def _count(kind: str, number: int) -> str:
    if number == 1:
        return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
    many = _NUMBERS[number] if number < len(_NUMBERS) else str(number)
    return f"{many} times {kind}" if " " in kind else f"{many} {kind}{'' if kind.endswith('s') else 's'}"


def _words(stem: str) -> str:
    return _NOISE.sub(" ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", _AUTHOR.sub("", stem))).strip().lower() or "something"
