"""What a person sees of a job."""

from __future__ import annotations

import io

from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.display import Bars, Lines, display

P = pb.StageProgress


def event(subject: str, state: int, **fields: object) -> pb.JobEvent:
    return pb.JobEvent(progress=P(stage="casper", subject=subject, state=state, **fields))


def story() -> list[pb.JobEvent]:
    done = event("casper/vase", P.DONE)
    done.progress.elapsed.FromMilliseconds(12_340)
    steps = [event("casper/vase", P.RUNNING, done=i, total=100, note="denoising") for i in range(101)]
    return [event("casper/vase", P.QUEUED), event("casper/vase", P.RUNNING), *steps, done, event("ssr", P.CACHED)]


def test_lines_tell_states_and_quarters() -> None:
    stream = io.StringIO()
    with display(stream) as shown:
        assert isinstance(shown, Lines)
        for one in story():
            shown.show(one)
        shown.show(pb.JobEvent(job=pb.Job()))
    assert stream.getvalue().splitlines() == [
        "casper/vase: runs",
        "casper/vase: 25/100 denoising",
        "casper/vase: 50/100 denoising",
        "casper/vase: 75/100 denoising",
        "casper/vase: done (12.3 s)",
        "ssr: was done before",
    ]


def test_bars_end_with_every_stage_done() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with display(stream) as shown:
        assert isinstance(shown, Bars)
        for one in story():
            shown.show(one)
        shown.note("all [well]")
    text = stream.getvalue()
    assert "12.3 s" in text and "was done before" in text and "all [well]" in text
