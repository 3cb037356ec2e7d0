"""A decomposition as it was delivered: layers.json and the pictures that it names.

Must not know: edits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from services.colorspace import Conversion
from services.compose.files import Files, read
from services.compose.pictures import ExrSequence, MovieFile, Pictures, PngSequence, numbered
from services.errors import BadInput, NotFound
from services.video.limits import check_length, check_size
from services.video.timing import Timeline

_BEST_FIRST = ("png", "exr", "prores", "webm", "hevc")
_MAX_JSON = 64 << 20


@dataclass(frozen=True)
class Delivery:
    """What an edit works on.

    Attributes:
        files: where it lies. content: that of layers.json.
        format: the format that is read, the most exact there is.
        folder: a temporary folder for what must be unpacked.
    """

    files: Files
    content: Mapping[str, Any]
    format: str
    folder: Path

    @property
    def frames(self) -> int:
        return int(self.content["frames"])

    @property
    def width(self) -> int:
        return int(self.content["width"])

    @property
    def height(self) -> int:
        return int(self.content["height"])

    @property
    def timeline(self) -> Timeline:
        return Timeline.from_json(str(self.content["fps"]), self.content["timestamps"])

    @property
    def sample_aspect_ratio(self) -> Fraction:
        return Fraction(str(self.content["sample_aspect_ratio"]))

    @property
    def start_frame(self) -> int:
        return int(self.content.get("start_frame", 0))

    @property
    def labels(self) -> list[str]:
        """Of the layers that were delivered."""
        return [str(layer["label"]) for layer in self.content["layers"]]

    @property
    def order(self) -> list[list[str]]:
        """Per frame, the delivered layers' labels front to back."""
        known = set(self.labels)
        return [[label for label in row if label in known] for row in self.content["order"]]

    @property
    def peak(self) -> int:
        """255, or 65535 where the pictures are deeper."""
        if self.format in ("png",):
            return 255 if int(self.content["formats"]["png"]["bits"]) == 8 else 65535
        return 255 if int(self.content["bit_depth"]) == 8 else 65535

    @property
    def color(self) -> Mapping[str, Any]:
        """How the pictures that are read are coded, as an ingested clip's meta has it."""
        own: Mapping[str, Any] = self.content["color"]
        space = self.content["formats"][self.format].get("space", "")
        if self.format != "exr" and space in ("srgb", "rec709"):
            return {**own, "transfer": "srgb" if space == "srgb" else "bt709", "primaries": "bt709"}
        return own

    @property
    def background(self) -> Pictures:
        return self._pictures(self.content["background"], layer="RGBA", alpha=False)

    def layer(self, label: str) -> Pictures:
        """Straight RGBA of a layer. Raises NotFound."""
        for entry in self.content["layers"]:
            if entry["label"] == label:
                return self._pictures(entry, layer=str(entry.get("channels", label)), alpha=True)
        raise NotFound(f"{self.files.name} has no layer {label!r}; it has {', '.join(self.labels) or 'none'}.")

    def require_whole(self, labels: list[str]) -> None:
        """Raises NotFound, naming the first file of these layers, or of the background, that is missing."""
        parts = [self.content["background"], *(e for e in self.content["layers"] if e["label"] in labels)]
        for part in parts:
            pattern = part["files"][self.format]
            for number in range(self.start_frame, self.start_frame + (self.frames if "%" in pattern else 1)):
                path = numbered(pattern, number)
                if not self.files.has(path):
                    raise NotFound(f"{self.files.name} lacks the file {path}; deliver it again, or copy it there.")

    def sound(self) -> str | None:
        """The file that holds the clip's sound, if it has any."""
        audio = self.content["audio"]
        if not audio:
            return None
        movies = (self.content["background"]["files"].get(name) for name in ("prores", "webm", "hevc"))
        path = audio["file"] or next((movie for movie in movies if movie), None)
        return str(path) if path and self.files.has(path) else None

    def _pictures(self, part: Mapping[str, Any], *, layer: str, alpha: bool) -> Pictures:
        path = str(part["files"][self.format])
        if self.format == "png":
            return PngSequence(self.files, path, self.start_frame, self.frames)
        if self.format == "exr":
            space = str(self.content["formats"]["exr"].get("space", "linear"))
            convert = Conversion(self.content["color"], space)
            return ExrSequence(self.files, path, self.start_frame, self.frames, layer, convert, self.peak)
        matrix = str(self.content["color"]["matrix"])
        return MovieFile(self.files, path, self.frames, alpha, matrix, self.peak, self.folder)


def open_delivery(files: Files, folder: Path) -> Delivery:
    """The delivery in `files`; `folder`: for what must be unpacked.

    Raises:
        NotFound: there is no layers.json. BadInput: it is damaged, or no picture format that we read is in it.
    """
    raw = b""
    for piece in files.chunks("layers.json"):
        raw += piece
        if len(raw) > _MAX_JSON:
            raise BadInput(f"layers.json of {files.name} is larger than {_MAX_JSON >> 20} MiB; deliver it again.")
    try:
        content = json.loads(raw)
        chosen = [name for name in _BEST_FIRST if name in content["background"]["files"]]
        delivery = Delivery(files, content, chosen[0] if chosen else "", folder)
        check_size(files.name, width=delivery.width, height=delivery.height)
        check_length(files.name, frames=delivery.frames)
        well = len(delivery.order) == delivery.frames > 0 and all(e["files"] for e in content["layers"])
        facts = (delivery.timeline, delivery.sample_aspect_ratio, delivery.start_frame, content["audio"])
        if not chosen or not well or not facts or delivery.peak not in (255, 65535):
            raise ValueError("it lacks pictures or an order")
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError, RecursionError) as error:
        raise BadInput(f"layers.json of {files.name} cannot be used ({error}); deliver it again.") from error
    return delivery


def sound_of(delivery: Delivery, target: Path) -> Path | None:
    """The clip's sound, copied to the file `target`; None if it has none."""
    path = delivery.sound()
    if path is None:
        return None
    target.write_bytes(read(delivery.files, path))
    return target
