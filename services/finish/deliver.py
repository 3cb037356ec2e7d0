"""Everything that a job delivers: one writer per format, and what layers.json says about their files.

Must not know: how frames are finished, or how a format is written.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

from services.artifacts import Artifact, Draft
from services.colorspace import Conversion, space_of
from services.deliverables import MOVIES, PROJECTS, Delivery
from services.errors import BadOption
from services.finish import movies, sidecars
from services.finish.images import ExrWriter, PngWriter
from services.finish.movies import Cut, Layered, Previews
from services.finish.names import Kind, Names, channel_names
from services.finish.projects.write import filename
from services.finish.reel import Reel
from services.finish.shot import Shot, Writer
from services.stills import ExrHeader
from services.video.encode import CODECS, Family, Form, require
from services.video.timing import Timeline, timecode

_MOVIE_BITS = {"webm": 8, "hevc": 8, "prores": 12}


@dataclass
class Deliverables:
    """The files of one result; a context manager. `write` takes frames in order; `close` makes the movies of them.

    Attributes:
        draft: where files go.
        video: the ingested clip, whose timing, aspect, colour and sound all files share.
        formats: names out of services.deliverables.FORMATS, checked.
        labels: of the layers to deliver. objects: of all objects of the job.
        peak: 255 or 65535.
        how: names, depths and colour spaces.
        clip: what the clip is called.
    """

    draft: Draft
    video: Artifact
    formats: Sequence[str]
    labels: list[str]
    objects: list[str]
    peak: int
    how: Delivery
    clip: str
    _closing: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        """Raises BadOption for names that would meet, and for a clip that a codec cannot hold."""
        self.names = Names(self.clip, self.how.name, self.how.start_frame)
        self.timeline = timeline_of(self.video)
        self._form = self._clips_form()
        for family in self._families:
            require(self._form, cast(Family, family), alpha=bool(self.labels))
        _require_distinct(self._paths())

    def __enter__(self) -> Deliverables:
        self._folder = Path(self._closing.enter_context(tempfile.TemporaryDirectory()))
        self._sound = self._extracted()
        self._cuts = self._movies()
        self._reel = Reel(self._folder, self.labels)
        self._writers = [*self._sequences(), *([self._reel] if self._cuts else [])]
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def write(self, shot: Shot) -> None:
        for writer in self._writers:
            writer.write(shot)

    @property
    def passes(self) -> int:
        """How often every frame is gone through: once for all sequences, and once for each movie."""
        return 1 + len(self._cuts)

    def close(self, tick: Callable[[], None]) -> None:
        """Make the movies, and hand over the sound of image sequences. tick: called after every frame of a movie."""
        for cut in self._cuts:
            self._reel.make(cut, self.draft, tick=tick)
        if self._sound is not None and self.sound_file:
            self.draft.put(self.sound_file, self._sound)

    @property
    def sound_file(self) -> str | None:
        """Where the sound lies for those who take sequences; None where movies carry it, or there is none."""
        sequences = "png" in self.formats or "exr" in self.formats
        return "audio.mka" if self.video.meta["audio"] and sequences else None

    @property
    def timecode(self) -> str:
        return timecode(self.how.start_frame, self.timeline.fps)

    @property
    def projects(self) -> list[str]:
        return [name for name in self.formats if name in PROJECTS]

    def files(self, label: str = "") -> dict[str, str]:
        """Format -> path of a layer's, or the background's, files, with %05d for the frame's number."""
        kind = Kind.LAYER if label else Kind.BACKGROUND
        found: dict[str, str] = {}
        for name in self.formats:
            if name == "png":
                found[name] = self.names.sequence(kind, label, suffix="png")
            elif name == "exr":
                found[name] = self.names.sequence(Kind.EVERYTHING, suffix="exr")
            elif name in MOVIES:
                found[name] = self.names.movie(kind, label, suffix=movies.SUFFIX[name])
        return found

    def beside(self) -> dict[str, Any]:
        """What lies beside the layers, by format, as layers.json has it."""
        found: dict[str, Any] = {}
        if "masks" in self.formats:
            found["masks"] = {label: self.names.sequence(Kind.MASK, label, suffix="png") for label in self.objects}
        if "mattes" in self.formats:
            found["mattes"] = {label: self.names.sequence(Kind.MATTE, label, suffix="png") for label in self.labels}
        if "depth" in self.formats:
            found["depth"] = self.names.sequence(Kind.DEPTH, suffix="png")
        if self.projects:
            found["projects"] = {name: filename(name) for name in self.projects}
        if "preview" in self.formats:
            shown = (("checker", Kind.CHECKER), ("color", Kind.COLOR))
            found["previews"] = {"background": {"plain": self.names.movie(Kind.PREVIEW, suffix="mp4")}} | {
                label: {name: self.names.movie(kind, label, suffix="mp4") for name, kind in shown}
                for label in self.labels
            }
        return found

    def channels(self) -> dict[str, str]:
        """Label -> layer of the EXR; {} without one."""
        return channel_names(self.labels) if "exr" in self.formats else {}

    def notes(self) -> dict[str, dict[str, Any]]:
        """What colour and alpha mean in each format of pictures."""
        own = space_of(self.video.meta["color"])
        display = f"converted to {self.how.color}" if self._graded is not None else f"as in the input ({own})"
        found: dict[str, dict[str, Any]] = {}
        for name in self.formats:
            if name == "png":
                bits = self.how.png_bits or (8 if self.peak == 255 else 16)
                found[name] = {"bits": bits, "color": display, "alpha": "straight", "space": self.how.color or own}
            elif name == "exr":
                color = f"scene-linear, {self.how.exr_color}, from {own}"
                found[name] = {"bits": 16, "color": color, "alpha": "premultiplied", "space": self.how.exr_color}
            elif name in MOVIES:
                coded = f"{display}; {CODECS[name].transparent}, limited range"
                found[name] = {
                    "bits": _MOVIE_BITS[name],
                    "color": coded,
                    "alpha": "straight",
                    "space": self.how.color or own,
                }
        return found

    @property
    def _families(self) -> list[str]:
        return [name for name in self.formats if name in MOVIES]

    @property
    def _graded(self) -> Conversion | None:
        """To the display space asked for; None where the clip's own codes stay."""
        if not self.how.color:
            return None
        conversion = Conversion(self.video.meta["color"], self.how.color)
        return None if conversion.identity else conversion

    def _sequences(self) -> list[Writer]:
        draft, names = self.draft, self.names
        made: list[Writer] = []
        if "png" in self.formats:
            made.append(PngWriter(draft, names, self.labels, self.peak, self._graded, self.how.png_bits))
        if "exr" in self.formats:
            made.append(self._exr())
        if "masks" in self.formats:
            made.append(sidecars.MaskWriter(draft, names))
        if "mattes" in self.formats:
            made.append(sidecars.MatteWriter(draft, names))
        if "depth" in self.formats:
            made.append(sidecars.DepthWriter(draft, names))
        return made

    def _movies(self) -> list[Cut]:
        names, labels, form, sound = self.names, self.labels, self._form, self._sound
        found: list[Cut] = []
        for family in self._families:
            found += Layered(names, labels, cast(Family, family), form, self.peak, self._graded, sound).cuts()
        if "preview" in self.formats:
            found += Previews(names, labels, form, self.how.preview_color, sound).cuts()
        return found

    def _exr(self) -> ExrWriter:
        meta, space = self.video.meta, self.how.exr_color
        return ExrWriter(
            self.draft,
            self.names,
            self.labels,
            self.peak,
            convert=Conversion(meta["color"], space),
            header=ExrHeader(
                space=space,
                compression=self.how.exr_compression,
                pixel_aspect=float(Fraction(str(meta["sample_aspect_ratio"]))),
                comments=f"{float(self.timeline.fps):.6g} frames per second; premultiplied, scene-linear ({space})",
            ),
        )

    def _clips_form(self) -> Form:
        meta = self.video.meta
        color = meta["color"]
        form = Form(
            width=int(meta["width"]),
            height=int(meta["height"]),
            timeline=self.timeline,
            sample_aspect_ratio=Fraction(str(meta["sample_aspect_ratio"])),
            matrix=str(color["matrix"]),
            primaries=str(color["primaries"]),
            transfer=str(color["transfer"]),
            timecode=self.timecode,
        )
        if self._graded is None:
            return form
        transfer = {"srgb": "srgb", "rec709": "bt709"}[self.how.color]
        return replace(form, matrix="bt709", primaries="bt709", transfer=transfer)

    def _extracted(self) -> Path | None:
        if not self.video.meta["audio"]:
            return None
        path = self._folder / "audio.mka"
        with path.open("wb") as file:
            for piece in self.video.chunks("audio.mka"):
                file.write(piece)
        return path

    def _paths(self) -> list[str]:
        """Every path and pattern of the delivery."""
        pictures = [self.files(), *(self.files(label) for label in self.labels)]
        found = [path for files in pictures for name, path in files.items() if name != "exr"]
        beside = self.beside()
        for name in ("masks", "mattes"):
            found += beside.get(name, {}).values()
        found += [path for shown in beside.get("previews", {}).values() for path in shown.values()]
        return [*found, *([beside["depth"]] if "depth" in beside else [])]


def timeline_of(video: Artifact) -> Timeline:
    """The timing of an ingested clip."""
    return Timeline.from_json(str(video.meta["fps"]), video.meta["timestamps"])


def _require_distinct(paths: list[str]) -> None:
    seen: set[str] = set()
    for path in paths:
        if path.lower() in seen:  # Some file systems do not tell capitals from small letters.
            raise BadOption(
                f"two files would both be called {path!r}; choose another name, or other labels.", field="name"
            )
        seen.add(path.lower())
