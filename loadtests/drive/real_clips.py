"""Real clips for targets whose models compute: the bundled one, and its beginning at a smaller size.

Must not know: how they are sent.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from loadtests.stand.child import ROOT

SAMPLE = ROOT / "samples" / "still_life"
SMALL_FRAMES, SMALL_WIDTH = 16, 160


def make_clips(folder: Path) -> Path:
    """Writes `still_life/`, as it is bundled, and `small/`; returns `folder`. What is there already stays."""
    whole, small = folder / "still_life", folder / "small"
    for target in (whole, small):
        target.mkdir(parents=True, exist_ok=True)
    for path in sorted(SAMPLE.glob("*.mp4")):
        if not (whole / path.name).exists():
            shutil.copyfile(path, whole / path.name)
        if not (small / path.name).exists():
            _shrunk(path, small / path.name)
    return folder


def _shrunk(source: Path, target: Path) -> None:
    """Its first frames, smaller; a mask stays nearly black and white, which is all that is asked of one."""
    import av

    with av.open(str(source)) as read, av.open(str(target), "w") as write:
        old = read.streams.video[0]
        height = 2 * round(SMALL_WIDTH * old.height / old.width / 2)
        new = write.add_stream("libx264", rate=old.average_rate, options={"crf": "12"})
        new.width, new.height, new.pix_fmt = SMALL_WIDTH, height, "yuv420p"
        for number, frame in enumerate(read.decode(old)):
            if number == SMALL_FRAMES:
                break
            write.mux(new.encode(frame.reformat(SMALL_WIDTH, height, format="yuv420p")))
        write.mux(new.encode(None))
