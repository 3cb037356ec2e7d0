"""Collects the store again and again while a server runs.

Must not know: what is collected (orchestrator/collect.py does).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from orchestrator.collect import Collector
from orchestrator.observe.metrics import Metrics
from orchestrator.references import References
from services.errors import Conflict

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 60.0


@asynccontextmanager
async def collecting(
    collector: Collector, references: References, metrics: Metrics, *, every: float
) -> AsyncIterator[None]:
    """Collect each `every` seconds for the length of the block; replicas take turns. Infinity: never.

    The store is marked as this database's own; one that belongs to another is served, but never collected.
    """
    try:
        # Before the first job is deleted: another may have the same deliverables.
        await asyncio.to_thread(collector.adopt)
        await asyncio.to_thread(collector.own)
    except Exception as error:
        # Not worth a server that does not start: each turn tries again.
        _log.warning("the store is not collected now: %s", error)
    task = asyncio.create_task(_repeat(collector, references, metrics, every)) if math.isfinite(every) else None
    try:
        yield
    finally:
        collector.stop()
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _repeat(collector: Collector, references: References, metrics: Metrics, every: float) -> None:
    while True:
        await asyncio.sleep(min(every, _LOOK_SECONDS))
        # A collection under way is waited for: it must not outlive the database.
        work = asyncio.ensure_future(asyncio.to_thread(_once, collector, references, metrics, every))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work])
            raise


def _once(collector: Collector, references: References, metrics: Metrics, every: float) -> None:
    try:
        if not references.turn(every=every):
            return
        collector.own()
        done = collector.collect()
    except Conflict as error:
        _log.warning("%s", error.message)
        metrics.collection_ended("refused")
        return
    except Exception:
        # The store or the database is away for a while: the next turn finds what this one has left.
        _log.exception("the store was not collected")
        metrics.collection_ended("failed")
        return
    metrics.collection_ended("done")
    _log.info("collected %d things, %d bytes; %d bytes stay", done.count, done.size, done.kept)
