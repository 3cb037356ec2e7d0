"""How a job's events look to the person at the command line: live bars on a terminal, plain lines elsewhere.

Must not know: where events come from, and what happens when the job ends.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TextIO

from orchestrator.api import omnimatte_pb2 as pb

if TYPE_CHECKING:
    from rich.progress import TaskID

_WAITING = (pb.StageProgress.STATE_UNSPECIFIED, pb.StageProgress.QUEUED)
_WORDS = {
    pb.StageProgress.QUEUED: "waits",
    pb.StageProgress.RUNNING: "runs",
    pb.StageProgress.DONE: "done",
    pb.StageProgress.CACHED: "was done before",
    pb.StageProgress.FAILED: "failed",
    pb.StageProgress.CANCELLED: "stopped",
}


class Display(AbstractContextManager["Display"], Protocol):
    """Shows what happens to one job. A context manager: a live display ends with its block."""

    def note(self, text: str) -> None:
        """Say something that is no stage's."""

    def show(self, event: pb.JobEvent) -> None:
        """Show an event of the job."""


def display(stream: TextIO) -> Display:
    """The display that fits `stream`."""
    return Bars(stream) if stream.isatty() else Lines(stream)


class Lines(Display):
    """One line per change of state, and per quarter of a stage's progress: fit for logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._quarters: dict[str, int] = {}

    def __exit__(self, *_: object) -> None:
        return None

    def note(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def show(self, event: pb.JobEvent) -> None:
        if event.WhichOneof("event") != "progress":
            return
        progress = event.progress
        if progress.state in _WAITING:
            if progress.note:
                self.note(f"{progress.subject}: {progress.note}")
            return
        if progress.state == pb.StageProgress.RUNNING and progress.total:
            quarter = 4 * progress.done // progress.total
            if 0 < quarter < 4 and quarter > self._quarters.get(progress.subject, 0):
                self._quarters[progress.subject] = quarter
                self.note(f"{progress.subject}: {_counted(progress)}")
            return
        took = f" ({_seconds(progress)})" if progress.state == pb.StageProgress.DONE else ""
        self.note(f"{progress.subject}: {_WORDS[progress.state]}{took}")


class Bars(Display):
    """A bar per stage run, in the order of the plan."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

        self._progress = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
            console=Console(file=stream),
            refresh_per_second=8,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def note(self, text: str) -> None:
        self._progress.console.print(text, highlight=False, markup=False)

    def show(self, event: pb.JobEvent) -> None:
        if event.WhichOneof("event") != "progress":
            return
        progress = event.progress
        if progress.subject not in self._tasks:
            self._tasks[progress.subject] = self._progress.add_task(
                progress.subject, total=None, start=False, note=_WORDS[pb.StageProgress.QUEUED]
            )
        self._update(self._tasks[progress.subject], progress)

    def _update(self, task: TaskID, progress: pb.StageProgress) -> None:
        update = self._progress
        if progress.state == pb.StageProgress.RUNNING:
            update.start_task(task)
            total = progress.total or None
            update.update(task, total=total, completed=progress.done, note=_counted(progress))
        elif progress.state in (pb.StageProgress.DONE, pb.StageProgress.CACHED):
            word = _seconds(progress) if progress.state == pb.StageProgress.DONE else _WORDS[progress.state]
            update.start_task(task)
            update.update(task, total=1, completed=1, note=word)
        elif progress.state not in _WAITING:
            update.update(task, note=_WORDS[progress.state])
        elif progress.note:
            update.update(task, note=progress.note)


def _counted(progress: pb.StageProgress) -> str:
    if not progress.total:
        return progress.note
    return f"{progress.done}/{progress.total} {progress.note}".rstrip()


def _seconds(progress: pb.StageProgress) -> str:
    return f"{progress.elapsed.ToNanoseconds() / 1e9:.1f} s"
