"""Writes the finished frames in every format that was asked for, frame by frame.

Must not know: how frames are finished.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

from services.artifacts import Artifact, Draft
from services.errors import BadOption
from services.finish import images
from services.finish.sources import Integers
from services.video.encode import Family, Form, Movie, bleed
from services.video.timing import Timeline

FORMATS = ("png", "webm", "prores", "exr")
_SUFFIX = {"webm": "webm", "prores": "mov"}
_NOTES: dict[str, dict[str, Any]] = {
    "png": images.PNG,
    "exr": images.EXR,
    "webm": {"color": "VP9 4:2:0, limited range", "alpha": "straight", "bits": 8},
    "prores": {"color": "ProRes 4444, limited range", "alpha": "straight", "bits": 12},
}


def checked(formats: list[str]) -> list[str]:
    """`formats` without repetitions. Raises BadOption for one that does not exist."""
    for name in formats:
        if name not in FORMATS:
            raise BadOption(f"there is no format {name!r}; choose from {', '.join(FORMATS)}.", field="formats")
    return list(dict.fromkeys(formats))


@dataclass
class Deliverables:
    """The files of one result; a context manager. `write` takes frames in order; `close` finishes the movies.

    Attributes:
        draft: where files go.
        video: the ingested clip, whose timing, aspect, colour and sound all files share.
        formats: names out of FORMATS.
        labels: of the layers to deliver.
        peak: 255 or 65535.
    """

    draft: Draft
    video: Artifact
    formats: list[str]
    labels: list[str]
    peak: int
    _closing: ExitStack = field(default_factory=ExitStack)
    _movies: dict[str, Movie] = field(default_factory=dict)

    def __enter__(self) -> Deliverables:
        self._folder = Path(self._closing.enter_context(tempfile.TemporaryDirectory()))
        self._timeline = timeline_of(self.video)
        self._sequences: list[images.PngWriter | images.ExrWriter] = []
        meta = self.video.meta
        aspect = Fraction(str(meta["sample_aspect_ratio"]))
        if "png" in self.formats:
            self._sequences.append(images.PngWriter(self.draft))
        if "exr" in self.formats:
            self._sequences.append(
                images.ExrWriter(self.draft, peak=self.peak, timeline=self._timeline, pixel_aspect=float(aspect))
            )
        sound = self._sound()
        form = Form(
            width=int(meta["width"]),
            height=int(meta["height"]),
            timeline=self._timeline,
            sample_aspect_ratio=aspect,
            matrix=str(meta["color"]["matrix"]),
        )
        for name in self.formats:
            if name in _SUFFIX:
                for stem in self._stems():
                    path = f"{stem}.{_SUFFIX[name]}"
                    self._movies[path] = self._movie(path, form, cast(Family, name), sound)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def write(self, index: int, background: Integers, layers: dict[str, Integers]) -> None:
        """Frame `index`: background [H, W, 3] and the layers to deliver, [H, W, 4], by label."""
        frames = {"background": background} | {f"layers/{label}": layers[label] for label in self.labels}
        for stem, image in frames.items():
            for sequence in self._sequences:
                sequence.write(stem, index, image)
            wanted = [movie for path, movie in self._movies.items() if path.rpartition(".")[0] == stem]
            spread = bleed(image) if wanted and image.shape[2] == 4 else image
            for movie in wanted:
                movie.write(spread)

    def close(self) -> None:
        """Finish the movies and hand them, and the sound of image sequences, to the draft."""
        for path, movie in self._movies.items():
            movie.close()
            self.draft.put(path, self._folder / path)
        if self._sequences and self.video.meta["audio"]:
            self.draft.put("audio.mka", self._folder / "audio.mka")

    def files(self, stem: str) -> dict[str, str]:
        """Format -> path of `stem`'s files, with %05d for the frame's number."""
        return {name: f"{stem}.{_SUFFIX[name]}" if name in _SUFFIX else f"{stem}/%05d.{name}" for name in self.formats}

    def notes(self) -> dict[str, dict[str, Any]]:
        """What colour and alpha mean in each format delivered."""
        bits = 8 if self.peak == 255 else 16
        return {name: {"bits": bits} | _NOTES[name] for name in self.formats}

    def _stems(self) -> list[str]:
        return ["background", *(f"layers/{label}" for label in self.labels)]

    def _movie(self, path: str, form: Form, family: Family, sound: Path | None) -> Movie:
        target = self._folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        alpha = path.startswith("layers/")
        return Movie(target, form, family=family, alpha=alpha, sound=None if alpha else sound)

    def _sound(self) -> Path | None:
        if not self.video.meta["audio"]:
            return None
        path = self._folder / "audio.mka"
        with path.open("wb") as file:
            for piece in self.video.chunks("audio.mka"):
                file.write(piece)
        return path


def timeline_of(video: Artifact) -> Timeline:
    """The timing of an ingested clip."""
    return Timeline.from_json(str(video.meta["fps"]), video.meta["timestamps"])
