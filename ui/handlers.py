"""What happens at an event of the page. Every handler ends with something to show, also when something went wrong.

Must not know: what is where on the page.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.client import Client
from services.errors import OmnimatteError, Unavailable
from services.sandbox.running import Sandbox
from ui import clip as clips
from ui import jobs, previews, prompts, result, words
from ui.session import Clip, Edit, LayerEdit, Marks

Image = NDArray[np.uint8]
Masks = Mapping[str, Image]


@dataclass(frozen=True)
class Source:
    """The clip as the server knows it."""

    file: Mapping[str, str]


@dataclass
class Handlers:
    """Works for all sessions; what a session remembers is handed in and given back.

    Attributes:
        client: the server. root: where clips and results of all sessions are kept while the page is served.
    """

    client: Client
    root: Path
    decoders: Sandbox = field(default_factory=clips.reader)

    def load(self, path: str | None) -> Iterator[tuple[Clip | None, Source | None, int, str]]:
        """(clip, source, frames ready, words) again and again: first what can be shown, then what can be marked."""
        if not path:
            yield None, None, 0, words.note("Choose a clip.")
            return
        try:
            opened, _ = clips.open_clip(Path(path), Path(path).name, decoders=self.decoders, root=self.root)
            yield opened, None, 1, words.note("Sending the clip to the server.")
            source = Source(self.client.upload(opened.path, filename=opened.name))
            yield opened, source, 1, words.note("Reading the clip. You can click already.")
            ready = 1
            for ready in clips.read_frames(opened, decoders=self.decoders):
                yield opened, source, ready, words.note(f"{ready} frames read.")
            self._warm(opened, source)
            yield opened, source, ready, words.note(f"{ready} frames. Click on an object.")
        except Exception as error:
            yield None, None, 0, words.problem(error)

    def _warm(self, opened: Clip, source: Source) -> None:
        """The first preview of a clip reads it: let that happen before somebody waits for one."""
        marks = prompts.with_point(Marks(), opened, frame=0, x=opened.width / 2, y=opened.height / 2, positive=True)
        self._masks(source, marks, 0)

    def _masks(self, source: Source, marks: Marks, frame: int) -> dict[str, Image]:
        marked = prompts.objects(marks, frame=frame)
        if not marked:
            return {}
        found = self.client.preview_masks({"source": dict(source.file), "objects": marked}, frame)
        return {label: previews.mask_from_png(mask.png) for label, mask in found.items()}

    def look(
        self, opened: Clip | None, source: Source | None, marks: Marks, frame: int
    ) -> Iterator[tuple[Image | None, str]]:
        """(picture, words): the frame with its points at once, then with the masks that they give."""
        if opened is None:
            yield None, words.note("Choose a clip first.")
            return
        try:
            image = clips.frame(opened, frame)
            shown = previews.painted(image, marks, {}, index=frame, scale=opened.scale)
            yield shown, words.note("Looking for the objects." if prompts.objects(marks, frame=frame) else "")
            if source is None or not prompts.objects(marks, frame=frame):
                return
            masks = self._masks(source, marks, frame)
            rows = [(label, previews.color_of(marks, label), _share(mask)) for label, mask in masks.items()]
            yield previews.painted(image, marks, masks, index=frame, scale=opened.scale), words.legend(rows)
        except Exception as error:
            yield self._bare(opened, frame), words.problem(error)

    def _bare(self, opened: Clip, frame: int) -> Image | None:
        try:
            return clips.frame(opened, frame)
        except OmnimatteError:
            return None

    def decompose(
        self,
        opened: Clip | None,
        source: Source | None,
        marks: Marks,
        editor: Mapping[str, Any] | None,
        boxes: str,
        schedule: str,
    ) -> Iterator[tuple[str, str, Edit | None]]:
        """(job, words, result): how far it is, and last the result, fetched. editor, boxes: the preserve region."""
        if opened is None or source is None:
            yield "", words.problem(Unavailable("choose a clip first, and wait until it is read.")), None
            return
        name = ""
        try:
            painted = previews.preserve_png(editor, prompts.boxes_of(boxes, opened), opened)
            preserve = self.client.upload([painted], filename="preserve.png") if painted else None
            spec = prompts.job_spec(dict(source.file), marks, preserve=preserve, schedule=schedule, steps=0)
            last = ""
            for view in jobs.followed(self.client, spec):
                name, last = view.job, view.html
                yield name, last, None
            yield name, last + words.note("Fetching the layers."), None
            yield name, last, result.fetched(self.client, name, self.room())
        except Exception as error:
            yield name, words.problem(error), None

    def cancel(self, job: str) -> str:
        if not job:
            return words.note("Nothing is running.")
        try:
            self.client.cancel(job)
        except OmnimatteError as error:
            return words.problem(error)
        return words.note("Cancelling.")

    def room(self) -> Path:
        """A new folder for somebody's results."""
        return Path(tempfile.mkdtemp(prefix="result-", dir=self.root))


def edited(edit: Edit, label: str, values: tuple[bool, float, float, float, float]) -> Edit:
    """`edit` with what the controls of one layer say: visible, opacity, right, down, later."""
    visible, opacity, dx, dy, delay = values
    return edit.with_layer(label, LayerEdit(visible, float(opacity), round(dx), round(dy), round(delay)))


def grounded(edit: Edit, background: bool) -> Edit:
    return replace(edit, background=background)


def _share(mask: Image) -> str:
    return f"{100 * float((mask > 127).mean()):.1f} % of the frame"
