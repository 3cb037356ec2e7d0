"""One attempt at a job as the outside sees it: whatever is done inside has the job's ids, its trace and its figures.

The trace is that of the call that created the job, and so it goes on in whichever replica, and after a restart.
Must not know: how a job is run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace

from orchestrator.observe.job_figures import JobFigures
from orchestrator.records import Job, JobState
from services.errors import decode
from services.observe import tracing
from services.observe.about import about


@contextmanager
def observed(job: Job, figures: JobFigures) -> Iterator[None]:
    """Around the attempt; `job` as it is at its beginning."""
    line = job.spec.scheduling.line.value
    ids = {"job": job.id, "tenant": job.tenant, "attempt": str(job.attempt)}
    first = job.attempt == 1
    attributes = {f"omnimatte.{name}": value for name, value in {**ids, "class": line}.items()}
    with (
        about(**ids),
        tracing.span("attempt", parent=job.trace, attributes=attributes),
        figures.attempt(job.id, line=line, waited=job.started - job.created if first else None),
    ):
        if first:
            tracing.past("queued", began=job.created, ended=max(job.created, job.started))
        yield


def ended(job: Job, state: JobState, figures: JobFigures, *, error: str = "") -> None:
    """Within an attempt: its job has reached a final state. error: `services.errors.encode` text."""
    figures.ended(job.id, state.value)
    span = trace.get_current_span()
    span.set_attribute("omnimatte.state", state.value)
    if error:
        tracing.failed(span, decode(error))
