"""From prompts to masks over the whole clip, both ways in time, in memory that does not depend on its length.

Every object is followed forward from its start to the end of the clip, then backward from its start to the first frame;
it shares the encoder's work with the others. Frames are given out as soon as all objects are known there: from the last
object's start to the end, then from there back to the beginning. Between the starts of two objects the logits of the
earlier ones wait in a temporary file. Must not know: the networks' insides, stores, stages.
"""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.errors import Cancelled
from services.sam21 import images
from services.sam21.memory import Bank
from services.sam21.prompts import Course, Hint, Prompt, courses
from services.sam21.segmenter import Embedding, Found, Moment, Segmenter

Byte = NDArray[np.uint8]
# Frames read at once where the clip does not say how it is stored.
_RANGE = 8
# Embeddings kept: a prompted frame is seen again when the track arrives there.
_EMBEDDINGS = 2


class FrameSource(Protocol):
    """A clip: `.shape` (T, H, W, 3), RGB uint8 or uint16, and `clip[start:stop]`; an array, a Zarr array."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, frames: slice, /) -> Any: ...


def track(
    frames: FrameSource,
    prompts: Sequence[Prompt],
    *,
    labels: Sequence[str],
    segmenter: Segmenter,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[int, Byte]]:
    """Follow every object through the clip.

    Args:
        frames: the clip.
        prompts: at least a box, a mask or a positive point for every object; they number the objects from 0.
        labels: the objects' names, for messages.
        segmenter: the model.
        on_progress: called with (done, total) frames.
        cancelled: polled before every frame.

    Yields:
        (t, masks [H, W, N] uint8 0 or 255) of every frame t once, no pixel in two masks, in the order of the work: from
        some frame to the last, then from the frame before it back to the first.

    Raises:
        BadPrompt: a prompt cannot be meant for this clip; before anything is read.
        Cancelled: `cancelled` said so.
    """
    return _Tracker(
        frames,
        courses(prompts, shape=tuple(frames.shape), labels=labels),
        segmenter=segmenter,
        on_progress=on_progress,
        cancelled=cancelled,
    ).run()


class Embeddings:
    """The clip as the image encoder sees it: frames are read in ranges, the latest embeddings kept."""

    def __init__(self, frames: FrameSource, segmenter: Segmenter) -> None:
        self._frames, self._segmenter = frames, segmenter
        self._step = int(getattr(frames, "chunks", (_RANGE,))[0])
        self._range: tuple[int, NDArray[Any]] | None = None
        self._kept: OrderedDict[int, Embedding] = OrderedDict()

    def __getitem__(self, t: int) -> Embedding:
        if t in self._kept:
            self._kept.move_to_end(t)
            return self._kept[t]
        if len(self._kept) >= _EMBEDDINGS:
            self._kept.popitem(last=False)
        self._kept[t] = self._segmenter.embed(self._frame(t))
        return self._kept[t]

    def _frame(self, t: int) -> NDArray[Any]:
        first = t - t % self._step
        if self._range is None or self._range[0] != first:
            self._range = first, np.asarray(self._frames[first : first + self._step])
        return np.asarray(self._range[1][t - first])


class _Tracker:
    def __init__(
        self,
        frames: FrameSource,
        plan: Sequence[Course],
        *,
        segmenter: Segmenter,
        on_progress: Callable[[int, int], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self._length, self._height, self._width = (int(n) for n in frames.shape[:3])
        self._plan, self._segmenter = plan, segmenter
        self._seen = Embeddings(frames, segmenter)
        self._banks = [Bank(segmenter.reach, course.start) for course in plan]
        self._first, self._last = min(c.start for c in plan), max(c.start for c in plan)
        self._told = sorted({t for course in plan for t in course.told})
        self._on_progress, self._cancelled = on_progress, cancelled
        self._done = 0

    def run(self) -> Iterator[tuple[int, Byte]]:
        for t in self._told:
            self._tick()
            self._tell(t)
        waiting = _Waiting(self._first, self._last, objects=len(self._plan))
        try:
            yield from self._forward(waiting)
            yield from self._backward(waiting)
        finally:
            waiting.close()
        self._on_progress(self._total, self._total)

    def _forward(self, waiting: _Waiting) -> Iterator[tuple[int, Byte]]:
        for t in range(self._first, self._length):
            self._tick()
            found = {k: self._step(k, t, backward=False) for k, c in enumerate(self._plan) if t >= c.start}
            if t < self._last:
                waiting.put(t, found)
            else:
                yield t, self._masks(found)

    def _backward(self, waiting: _Waiting) -> Iterator[tuple[int, Byte]]:
        for t in range(self._last - 1, -1, -1):
            self._tick()
            found = {k: self._step(k, t, backward=True) for k, c in enumerate(self._plan) if t < c.start}
            if t >= self._first:
                found |= waiting.get(t, [k for k, c in enumerate(self._plan) if t >= c.start])
            yield t, self._masks(found)

    def _tell(self, t: int) -> None:
        """Put what the user said about frame t into the banks."""
        for course, bank in zip(self._plan, self._banks, strict=True):
            if t in course.told:
                found = self._begin(t, course.told[t])
                bank.tell(t, self._segmenter.remember(self._seen[t], found, told=True), found.logits)

    def _begin(self, t: int, hint: Hint) -> Found:
        return self._segmenter.begin(self._seen[t], hint, height=self._height, width=self._width)

    def _step(self, k: int, t: int, *, backward: bool) -> Tensor:
        """The logits [1, h, w] of object k on frame t, which becomes the latest of its bank."""
        bank, model, correction = self._banks[k], self._segmenter, self._plan[k].corrections.get(t)
        told = bank.told(t)
        if told is not None:
            return told
        moment, embedding = Moment(t, self._length, backward), self._seen[t]
        if correction is None:
            found = model.follow(embedding, bank, moment)
            bank.add(t, model.remember(embedding, found, told=False))
        else:
            found = model.correct(embedding, bank, moment, correction, height=self._height, width=self._width)
            bank.tell(t, model.remember(embedding, found, told=True), found.logits)
        return found.logits

    def _masks(self, found: dict[int, Tensor]) -> Byte:
        logits = torch.cat([found[k] for k in range(len(self._plan))])
        return images.separated(logits, height=self._height, width=self._width)

    @property
    def _total(self) -> int:
        return len(self._told) + (self._length - self._first) + self._last

    def _tick(self) -> None:
        if self._cancelled():
            raise Cancelled("tracking the objects was cancelled; send the job again to start over.")
        self._on_progress(self._done, self._total)
        self._done += 1


class _Waiting:
    """Logits of frames on which not all objects are known yet, float16 in a temporary file."""

    def __init__(self, first: int, last: int, *, objects: int) -> None:
        self._first, self._frames, self._objects = first, last - first, objects
        self._file = tempfile.TemporaryFile() if last > first else None  # noqa: SIM115
        self._shape: tuple[int, ...] = ()
        self._device = torch.device("cpu")

    def put(self, t: int, found: dict[int, Tensor]) -> None:
        for k, logits in found.items():
            self._shape, self._device = tuple(logits.shape), logits.device
            self._seek(t, k).write(logits.half().cpu().numpy().tobytes())

    def get(self, t: int, objects: Sequence[int]) -> dict[int, Tensor]:
        return {k: self._read(t, k) for k in objects}

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _read(self, t: int, k: int) -> Tensor:
        data = np.frombuffer(self._seek(t, k).read(self._bytes), np.float16).reshape(self._shape)
        return torch.from_numpy(data.astype(np.float32)).to(self._device)

    @property
    def _bytes(self) -> int:
        return 2 * int(np.prod(self._shape))

    def _seek(self, t: int, k: int) -> Any:
        assert self._file is not None
        self._file.seek(((t - self._first) * self._objects + k) * self._bytes)
        return self._file
