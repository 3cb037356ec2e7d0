"""What the workflow needs of whoever runs a stage: one method. Triton, a Kubernetes Job and a test each have theirs.

Must not know: any of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from services.stage import Progress, Request, Result


class Runner(Protocol):
    async def run(self, request: Request, *, on_progress: Callable[[Progress], None]) -> Result:
        """Run one stage request, or find that it has been run.

        Args:
            request: what to run.
            on_progress: called on the event loop, in order, never after `run` has returned or raised.
        Raises:
            OmnimatteError: what the stage said, or Unavailable when it could not be reached or stopped answering.
            asyncio.CancelledError: the task was cancelled; the stage stops at its next check.
        """
        ...
