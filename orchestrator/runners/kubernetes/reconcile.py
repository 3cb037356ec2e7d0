"""Removes worker Jobs that nobody waits for any more: their job is over, and whoever cancelled it could not delete
them, or died before.

What belongs to a job that is under way stays, whoever runs that job now: its next attempt attaches to it.
Must not know: how a job runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection

from orchestrator.runners.kubernetes.api import Cluster
from orchestrator.runners.kubernetes.board import Board
from orchestrator.runners.kubernetes.manifest import JOB
from orchestrator.runners.kubernetes.reasons import ended
from services.errors import OmnimatteError

_log = logging.getLogger(__name__)

Alive = Callable[[Collection[str]], set[str]]
"""Which of these jobs are under way or waiting. Blocking."""


async def reconciling(
    cluster: Cluster, board: Board, *, alive: Alive, followed: Callable[[], Collection[str]], every: float
) -> None:
    """Look every so many seconds, for ever. `followed`: the Jobs that somebody in this process waits for."""
    while True:
        await asyncio.sleep(every)
        try:
            await reconcile(cluster, board, alive=alive, followed=followed())
        except Exception:
            _log.warning("worker Jobs were not looked after this time", exc_info=True)


async def reconcile(cluster: Cluster, board: Board, *, alive: Alive, followed: Collection[str]) -> list[str]:
    """Delete the Jobs that are over for everybody; their names. Ended ones are left to their TTL."""
    found = {
        name: str(job["metadata"].get("labels", {}).get(JOB, ""))
        for name, job in board.jobs.items()
        if name not in followed and "deletionTimestamp" not in job["metadata"] and not ended(job)
    }
    if not found:
        return []
    living = await asyncio.to_thread(alive, set(found.values()))
    gone = []
    for name, job in found.items():
        if job in living or name not in board.jobs:
            continue
        try:
            await cluster.delete(name, uid=str(board.jobs[name]["metadata"]["uid"]))
        except OmnimatteError as error:
            _log.warning("Job %s could not be deleted: %s", name, error.message)
            continue
        _log.info("Job %s is deleted: nobody waits for it", name)
        gone.append(name)
    return gone
