"""A `Runner` that another one does the work of: it makes a span of each stage run, tells the stage server whom it is
for, and counts what it took.

Must not know: how a stage is reached.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from opentelemetry.trace import SpanKind

from orchestrator.observe.job_figures import JobFigures
from orchestrator.runners.base import Runner
from services.observe import tracing
from services.observe.about import current
from services.stage import Progress, Request, Result


class ObservedRunner:
    """See `Runner`."""

    def __init__(self, runner: Runner, figures: JobFigures) -> None:
        self._runner = runner
        self._figures = figures

    async def run(self, request: Request, *, on_progress: Callable[[Progress], None]) -> Result:
        """See `Runner.run`."""
        ids = current()
        attributes = {"omnimatte.stage": request.stage, "omnimatte.subject": request.subject}
        with tracing.span(f"stage {request.stage}", kind=SpanKind.CLIENT, attributes=attributes) as span:
            asked = replace(request, context={**ids, **tracing.headers()})
            result = await self._runner.run(asked, on_progress=on_progress)
            span.set_attributes({"omnimatte.address": result.address, "omnimatte.cached": result.cached})
        if not result.cached:
            self._figures.computed(
                request.stage,
                seconds=result.seconds,
                gpu=result.gpu,
                tenant=ids.get("tenant", ""),
                job=ids.get("job", ""),
            )
        return result
