"""A job on its way, as the page shows it: bars per stage run, the small pictures that solvers send.

Must not know: Gradio, or what was marked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.client import Client, error_of
from services.errors import Cancelled, Internal
from ui import words

_STATES = pb.StageProgress.State
_DONE = (pb.StageProgress.DONE, pb.StageProgress.CACHED)


@dataclass(frozen=True)
class View:
    """How far a job is: its name, HTML, and, at the end, that it has succeeded."""

    job: str
    html: str
    succeeded: bool = False


@dataclass
class _Told:
    """The newest of every stage run, in the order in which they were first heard of."""

    runs: dict[str, pb.StageProgress] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)

    def hear(self, progress: pb.StageProgress) -> None:
        self.runs[progress.subject] = progress
        if progress.preview:
            self.pictures[progress.subject] = progress.preview
        elif progress.state in _DONE:
            self.pictures.pop(progress.subject, None)

    def html(self, headline: str) -> str:
        bars = "".join(_bar(run) for run in self.runs.values())
        shown = "".join(words.picture(data, caption=subject) for subject, data in self.pictures.items())
        return f'{words.note(headline)}<ul class="bars">{bars}</ul><div class="pictures">{shown}</div>'


def followed(client: Client, spec: Mapping[str, Any]) -> Iterator[View]:
    """Queue the job and tell how far it is until it ends. Raises its error, or Cancelled."""
    job = client.create_job(spec)
    told = _Told()
    yield View(job.name, told.html("Waiting for its turn."))
    final = job
    for event in client.watch(job.name):
        if event.WhichOneof("event") == "job":
            final = event.job
        else:
            told.hear(event.progress)
        done = sum(run.state in _DONE for run in told.runs.values())
        yield View(job.name, told.html(f"Working: {done} of {len(told.runs)} steps done."))
    if final.state == pb.Job.CANCELLED:
        raise Cancelled("the job was cancelled; decompose again to go on from what is done.")
    if final.state != pb.Job.SUCCEEDED:
        raise error_of(final) or Internal("the job failed and did not say why; look at the server's log.")
    psnr = final.result.recomposition_psnr
    yield View(job.name, told.html(f"Done: the layers recompose the clip at {psnr:.1f} dB."), succeeded=True)


def _bar(run: pb.StageProgress) -> str:
    state = _STATES.Name(run.state).lower()
    if run.state in _DONE:
        share: float | None = 1.0
    elif run.state == pb.StageProgress.RUNNING:
        share = run.done / run.total if run.total else None
    else:
        share = 0.0
    return words.bar(run.subject, state=state, share=share, remark=state)
