"""A video file as an artifact: every frame, its timing and colour, and the sound.

Must not know: masks.
"""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from services.stage import Params, Work
from services.video import audio, timing
from services.video.limits import LIMITS, check_length
from services.video.source import Picture, Source, open_container


def ingest(work: Work, file: BinaryIO, name: str) -> Params:
    """Decode `file` into array "frames" [T, H, W, 3] and, if it has sound, "audio.mka". Raises BadVideo."""
    with open_container(file, name) as container:
        source = Source(container, name)
        facts = source.facts
        shape = (facts.frames or LIMITS.max_frames, facts.height, facts.width, 3)
        frames = work.draft.array("frames", shape=shape, dtype="uint8" if facts.bit_depth == 8 else "uint16")
        pts: list[int | None] = []
        block: list[Picture] = []

        def flush() -> None:
            work.check()
            start = len(pts)
            if start + len(block) > frames.shape[0]:  # The container promised fewer.
                frames.resize((LIMITS.max_frames, *shape[1:]))
            frames[start : start + len(block)] = np.stack([picture.pixels for picture in block])
            pts.extend(picture.pts for picture in block)
            block.clear()
            work.progress(len(pts), max(len(pts), facts.frames), "frames")

        for picture in source.pictures():
            block.append(picture)
            if len(block) == frames.chunks[0]:
                flush()
        if block:
            flush()
    if len(pts) != frames.shape[0]:
        frames.resize((len(pts), *shape[1:]))
    timeline = timing.measure(pts, time_base=facts.time_base, hints=facts.rates)
    check_length(name, seconds=float(timeline.seconds(len(pts) - 1)))
    sound = _sound(work, file, name, origin=(pts[0] or 0) * facts.time_base)
    aspect: Fraction = facts.sample_aspect_ratio
    return {
        "frames": len(pts),
        "height": facts.height,
        "width": facts.width,
        "fps": timing.fraction_text(timeline.fps),
        "sample_aspect_ratio": timing.fraction_text(aspect),
        "bit_depth": facts.bit_depth,
        "audio": sound,
        "timestamps": timeline.to_json(),
        "color": facts.color.to_json(),
    }


def _sound(work: Work, file: BinaryIO, name: str, *, origin: Fraction) -> dict[str, Any] | None:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "audio.mka"
        sound = audio.extract(file, name, target, origin=origin)
        if sound is None:
            return None
        work.draft.put("audio.mka", target)
        return sound.to_json()
