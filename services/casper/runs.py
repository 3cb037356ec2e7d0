"""The runs of Casper that one request asks for: each keeps other objects of the same clip (paper section 3.2).

The request's `runs` is {"background": [], "vase": ["vase"], ...}: name of the run -> labels of the objects that stay.
Its frames become the part of that name of the artifact. Must not know: any network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.errors import BadOption
from services.stage import Params, Work
from services.tracks import Track


@dataclass(frozen=True)
class Run:
    """name: of the artifact's part. keep: channels of the objects that stay."""

    name: str
    keep: tuple[int, ...]

    def frames(self, work: Work, *, shape: tuple[int, int, int], chunk: int) -> Any:
        """The run's output [T, h, w, 3] float16 0..1, to be written in chunks of `chunk` frames."""
        return work.draft.array(f"{self.name}/frames", shape=(*shape, 3), dtype="float16", chunk=chunk)


def parse(params: Params, objects: Sequence[Track]) -> tuple[Run, ...]:
    """The runs that `params` ask for. Raises BadOption for none, or for an object that the request has not."""
    channels = {track.label: i for i, track in enumerate(objects)}
    if not params["runs"]:
        raise BadOption("there is no run to make; name what to keep in each.", field="runs")
    for label in (label for keep in params["runs"].values() for label in keep):
        if label not in channels:
            raise BadOption(f"no object is called {label!r}; the objects are {', '.join(channels)}.", field="runs")
    return tuple(Run(str(name), tuple(channels[label] for label in keep)) for name, keep in params["runs"].items())
