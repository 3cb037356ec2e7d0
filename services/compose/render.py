"""An edit, rendered: background and layers of every frame put together, back to front (paper, App. D).

A few frames are made ahead by threads, since reading pictures is most of the work; memory holds no more than those.
Colours are mixed in the clip's own codes, as they were taken apart.
Must not know: how results are written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from services.colorspace import Conversion, space_of
from services.compose.check import check
from services.compose.delivery import Delivery
from services.compose.edit import Change, Edit, Insert
from services.compose.element import Element, Fitted
from services.compose.order import order_at
from services.compose.pictures import Integers, Pictures, Recoded, Still
from services.compose.place import blend, blend_clear
from services.compose.stylise import stylised
from services.compose.values import rgb_of
from services.compositing import checkerboard

_WORKERS = 2
_AHEAD = 4


@dataclass(frozen=True)
class Scene:
    """Everything that a frame is made of.

    Attributes:
        ground: what is behind; None for a transparent picture.
        elements: by label. order: per frame of the clip, front to back.
        width, height: of the clip. size: of the result.
        frames: those to render. peak: 255 or 65535.
    """

    ground: Pictures | None
    ground_peak: int
    elements: Mapping[str, Element]
    order: Callable[[int], list[str]]
    width: int
    height: int
    size: tuple[int, int]
    frames: range
    peak: int

    def picture(self, frame: int) -> Integers:
        """Frame `frame` of the clip: [H, W, 3], or [H, W, 4] straight without a ground, codes of 0..peak."""
        size = {"width": self.width, "height": self.height, "peak": self.peak}
        pieces = [self.elements[label].at(frame, **size) for label in reversed(self.order(frame))]
        if self.ground is None:
            clear: NDArray[Any] = np.zeros((self.height, self.width, 4), np.float32)
            for piece in pieces:
                if piece is not None:
                    blend_clear(clear, piece)
            return self._codes(self._straight(self._sized(clear)))
        image = self.ground.read(min(frame, self.ground.frames - 1))[..., :3]
        if self.size == (self.width, self.height) and not any(pieces) and self.ground_peak == self.peak:
            return image  # Nothing is painted over it.
        picture = image.astype(np.float32)
        if self.ground_peak != self.peak:
            picture *= np.float32(self.peak / self.ground_peak)
        for piece in pieces:
            if piece is not None:
                blend(picture, piece)
        return self._codes(self._sized(picture))

    def _sized(self, picture: NDArray[Any]) -> NDArray[Any]:
        width, height = self.size
        if (width, height) == (self.width, self.height):
            return picture
        shrinks = width * height < self.width * self.height
        how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(picture, (width, height), interpolation=how))

    def _straight(self, picture: NDArray[Any]) -> NDArray[Any]:
        alpha = np.clip(picture[..., 3:], 0.0, 1.0)
        color = picture[..., :3] / np.maximum(alpha, np.float32(1e-6))
        return np.concatenate([color, alpha * np.float32(self.peak)], axis=-1)

    def _codes(self, picture: NDArray[Any]) -> Integers:
        limited = np.clip(np.rint(picture), 0, self.peak)
        return limited.astype(np.uint8 if self.peak == 255 else np.uint16)


def prepare(
    edit: Edit,
    delivery: Delivery,
    inserted: Mapping[str, Delivery],
    *,
    ground: Pictures | None = None,
    check_stop: Callable[[], None] = lambda: None,
) -> Scene:
    """The scene of an edit, after everything about it was checked; styles that need a program are applied here.

    Args:
        inserted: source of an insert -> its delivery.
        ground: the picture or video that replaces the background, where the edit names one.
        check_stop: raises to stop.
    Raises:
        NotFound, BadInput, BadOption: what the edit asks for is not there, or a program of a style fails.
    """
    known = {source: other.labels for source, other in inserted.items()}
    check(edit, labels=delivery.labels, frames=delivery.frames, inserted=known)
    shown = [label for label in delivery.labels if not _removed(edit, label)]
    delivery.require_whole(shown)
    elements = {label: Element(label, delivery.layer(label), delivery.peak, _change(edit, label)) for label in shown}
    for insert in edit.inserts:
        if not insert.change.remove:
            elements[insert.label] = _inserted(insert, inserted[insert.source], delivery)
    folder = delivery.folder
    elements = {label: stylised(element, folder, check_stop=check_stop) for label, element in elements.items()}
    own, labels = delivery.order, list(elements)
    first, last = edit.frames or (0, delivery.frames - 1)
    behind, behind_peak = _ground(edit, delivery, ground)
    return Scene(
        ground=behind,
        ground_peak=behind_peak,
        elements=elements,
        order=lambda frame: order_at(frame, own=own, shown=labels, runs=edit.order),
        width=delivery.width,
        height=delivery.height,
        size=edit.size or (delivery.width, delivery.height),
        frames=range(first, last + 1),
        peak=delivery.peak,
    )


def rendered(scene: Scene) -> Iterator[Integers]:
    """The scene's frames, in order."""
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="compose") as pool:
        waiting: deque[Future[Integers]] = deque()
        try:
            for frame in scene.frames:
                waiting.append(pool.submit(scene.picture, frame))
                if len(waiting) > _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _removed(edit: Edit, label: str) -> bool:
    return label in edit.layers and edit.layers[label].remove


def _change(edit: Edit, label: str) -> Change:
    return edit.layers.get(label) or Change()


def _inserted(insert: Insert, source: Delivery, target: Delivery) -> Element:
    source.require_whole([insert.layer])
    pictures: Pictures = source.layer(insert.layer)
    if space_of(source.color) != space_of(target.color):
        there, here = Conversion(source.color, "linear"), Conversion(target.color, "linear")
        pictures = Recoded(pictures, there, here, source.peak)
    pictures = Fitted(pictures, target.width, target.height)
    return Element(insert.label, pictures, source.peak, insert.change)


def _ground(edit: Edit, delivery: Delivery, given: Pictures | None) -> tuple[Pictures | None, int]:
    kind, height, width = edit.background.kind, delivery.height, delivery.width
    if kind == "keep":
        return delivery.background, delivery.peak
    if kind == "none":
        return None, delivery.peak
    if kind == "color":
        color = np.rint(np.array(rgb_of(edit.background.value, "background.color")) * 255).astype(np.uint8)
        return Still(np.broadcast_to(color, (height, width, 3)), delivery.frames), 255
    if kind == "checker":
        return Still(np.rint(checkerboard(height, width) * 255).astype(np.uint8), delivery.frames), 255
    assert given is not None
    return given, 255
