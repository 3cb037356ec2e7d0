"""A `Runner` that sends each stage where it runs.

Must not know: what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestrator.runners.base import Runner
from services.stage import Progress, Request, Result


class RoutedRunner:
    """See `Runner`."""

    def __init__(self, runner: Runner, *, stages: Mapping[str, Runner]) -> None:
        """`stages` go to runners of their own, all others to `runner`."""
        self._runner = runner
        self._stages = dict(stages)

    async def run(self, request: Request, *, on_progress: Callable[[Progress], None]) -> Result:
        """See `Runner.run`."""
        return await self._stages.get(request.stage, self._runner).run(request, on_progress=on_progress)
