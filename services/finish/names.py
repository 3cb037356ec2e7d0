"""What delivered files are called: a layout of folders by default, or the user's template.

Pure. Patterns have %05d where the frame's number goes, as layers.json and compositing programs write it.
Must not know: what is in the files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


class Kind(Enum):
    """What a file shows; the value is its folder, and its ending where a template names it after its layer."""

    BACKGROUND = "background"
    LAYER = "layers"
    EVERYTHING = "exr"
    MASK = "masks"
    MATTE = "mattes"
    DEPTH = "depth"
    PREVIEW = "previews/background"
    CHECKER = "previews/checker"
    COLOR = "previews/color"


_SHOWN = {Kind.MASK: ".mask", Kind.MATTE: ".matte", Kind.CHECKER: ".checker", Kind.COLOR: ".color"}
_UNLABELLED = {Kind.EVERYTHING: "layers", Kind.PREVIEW: "background.preview"}


@dataclass(frozen=True)
class Names:
    """The names of one delivery.

    Attributes:
        clip: what the source is called, for the token {clip}.
        template: with {clip}, {layer} and {frame}; "" for folders.
        start: number of the first frame.
    """

    clip: str = ""
    template: str = ""
    start: int = 0

    def sequence(self, kind: Kind, label: str = "", *, suffix: str) -> str:
        """The pattern of one file per frame: "layers/vase/%05d.png"."""
        if not self.template:
            return f"{self._stem(kind, label)}/%05d.{suffix}"
        return f"{self._filled(self.template, kind, label).replace('{frame}', '%05d')}.{suffix}"

    def movie(self, kind: Kind, label: str = "", *, suffix: str) -> str:
        """The path of one file for all frames: "layers/vase.mov"."""
        if not self.template:
            return f"{self._stem(kind, label)}.{suffix}"
        folder, slash, name = self.template.rpartition("/")
        name = re.sub(r"[._-]*\{frame\}", "", name).lstrip("._-")
        return f"{self._filled(folder + slash + name if name else folder, kind, label)}.{suffix}"

    def at(self, pattern: str, index: int) -> str:
        """The file of frame `index`, counted from 0, of a sequence."""
        return pattern.replace("%05d", f"{self.start + index:05d}")

    def _stem(self, kind: Kind, label: str) -> str:
        return f"{kind.value}/{label}" if label else kind.value

    def _filled(self, template: str, kind: Kind, label: str) -> str:
        # A label has no dot, so that no other layer's name can be the same.
        layer = f"{label}{_SHOWN.get(kind, '')}" if label else _UNLABELLED.get(kind, kind.value)
        return template.replace("{clip}", self._clip()).replace("{layer}", layer)

    def _clip(self) -> str:
        stem = self.clip.replace("\\", "/").rpartition("/")[2]
        stem = stem.rpartition(".")[0] or stem
        return _UNSAFE.sub("_", stem).strip("_")[:60] or "clip"


def channel_names(labels: list[str]) -> dict[str, str]:
    """Label -> the name of its layer in an EXR: letters, digits and _, beginning with a letter, each once.

    Compositing programs make identifiers of them; "rgba" and "depth" are layers that they have already.
    """
    found: dict[str, str] = {}
    taken = {"rgba", "depth", "alpha", "rgb", "forward", "backward", "mask"}
    for label in labels:
        base = re.sub(r"\W", "_", label, flags=re.ASCII)
        base = base if base[:1].isalpha() else f"layer_{base}"
        name, number = base, 2
        while name.lower() in taken:
            name, number = f"{base}_{number}", number + 1
        taken.add(name.lower())
        found[label] = name
    return found
