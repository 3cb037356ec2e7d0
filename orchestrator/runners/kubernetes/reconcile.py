"""Removes worker Jobs that nobody waits for any more: their job is over, and whoever cancelled it could not delete
them, or died before.

What belongs to a job that is under way stays, whoever runs that job now: its next attempt attaches to it.
Must not know: how a job runs.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection

from orchestrator.runners.kubernetes.api import Cluster
from orchestrator.runners.kubernetes.board import Board
from orchestrator.runners.kubernetes.manifest import JOB
from orchestrator.runners.kubernetes.reasons import ended
from services.errors import OmnimatteError

_log = logging.getLogger(__name__)

Alive = Callable[[Collection[str]], set[str]]
"""Which of these jobs are under way or waiting. Blocking."""


_PATIENCE_SECONDS = 15.0


async def reconciling(
    cluster: Cluster, board: Board, *, alive: Alive, followed: Callable[[], Collection[str]], every: float
) -> None:
    """Look every so many seconds, for ever. `followed`: the Jobs that somebody in this process waits for."""
    sweeper = Sweeper(cluster, board, alive=alive, followed=followed)
    while True:
        await asyncio.sleep(every)
        try:
            await sweeper.sweep()
        except Exception:
            _log.warning("worker Jobs were not looked after this time", exc_info=True)


class Sweeper:
    """Remembers since when nobody has waited for a Job: workers that have just told their results may still leave."""

    def __init__(
        self,
        cluster: Cluster,
        board: Board,
        *,
        alive: Alive,
        followed: Callable[[], Collection[str]],
        patience: float = _PATIENCE_SECONDS,
    ) -> None:
        self._cluster, self._board = cluster, board
        self._alive, self._followed, self._patience = alive, followed, patience
        self._since: dict[str, float] = {}

    async def sweep(self) -> list[str]:
        """Delete the Jobs that have been nobody's for a while; their names. Ended ones are left to their TTL."""
        now = time.monotonic()
        self._since = {name: self._since.get(name, now) for name in await self._lonely()}
        gone = []
        for name, since in self._since.items():
            job = self._board.jobs.get(name)
            if job is None or now - since < self._patience:
                continue
            try:
                await self._cluster.delete(name, uid=str(job["metadata"]["uid"]))
            except OmnimatteError as error:
                _log.warning("Job %s could not be deleted: %s", name, error.message)
                continue
            _log.info("Job %s is deleted: nobody waits for it", name)
            gone.append(name)
        return gone

    async def _lonely(self) -> list[str]:
        followed = self._followed()
        found = {
            name: str(job["metadata"].get("labels", {}).get(JOB, ""))
            for name, job in self._board.jobs.items()
            if name not in followed and "deletionTimestamp" not in job["metadata"] and not ended(job)
        }
        living = await asyncio.to_thread(self._alive, set(found.values())) if found else set()
        return [name for name, job in found.items() if job not in living]
