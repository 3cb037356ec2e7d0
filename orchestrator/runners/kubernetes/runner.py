"""Runs stages as Kubernetes Jobs: a `Runner` whose every request is a shard in a pod of its own.

A request finds the Job that is working on it already, whoever made that: after a crash the next attempt attaches to
what still runs. Who stops in order leaves the Jobs running for the next one; who is cancelled takes them along.
Must not know: what a stage computes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from orchestrator.runners.kubernetes import reasons
from orchestrator.runners.kubernetes.api import Cluster, Object
from orchestrator.runners.kubernetes.board import Board
from orchestrator.runners.kubernetes.gather import Gathering
from orchestrator.runners.kubernetes.manifest import BATCH, KIND, SHARDS, read_template
from orchestrator.runners.kubernetes.reconcile import Alive, reconciling
from orchestrator.runners.kubernetes.runs import Place, Runs
from orchestrator.runners.kubernetes.settings import Shards
from services.artifacts import Store
from services.errors import OmnimatteError, Unavailable
from services.shards import Fault, Shard
from services.stage import Progress, Request, Result

_log = logging.getLogger(__name__)

_EVENTS_SECONDS = 10.0


class Figures(Protocol):
    """What is counted; see orchestrator/observe/worker_figures.py."""

    def called(self, verb: str, code: int) -> None: ...
    def watch_restarted(self) -> None: ...
    def following(self, jobs: Mapping[str, int]) -> None: ...
    def ended(self, *, overhead: float) -> None: ...


class KubernetesRunner:
    """See `Runner`. Belongs to one event loop; make it with `running`."""

    def __init__(
        self, cluster: Cluster, board: Board, runs: Runs, *, settings: Shards, store: Store, figures: Figures
    ) -> None:
        self._cluster = cluster
        self._board = board
        self._runs = runs
        self._settings = settings
        self._store = store
        self._figures = figures
        self._gathering: Gathering[Request, Place] = Gathering(
            runs.start, seconds=settings.gather_seconds, most=settings.max_shards
        )
        self._followers: Counter[str] = Counter()
        self._leaving = False
        self._dropping: set[asyncio.Task[None]] = set()

    async def run(self, request: Request, *, on_progress: Callable[[Progress], None]) -> Result:
        """See `Runner.run`."""
        begun = time.monotonic()
        await self.ready()
        while True:
            place = await self._runs.found(request)
            if place is None:
                place = await self._gathering.add(request.context.get("job", ""), request)
            result = await self.follow(place, request.subject or request.stage, on_progress)
            if await asyncio.to_thread(self._store.find, result.address) is not None:
                break
            # An ended Job's word for something that has been deleted since.
            await self.drop(place)
        if not result.cached:
            self._figures.ended(overhead=time.monotonic() - begun - result.seconds)
        return result

    async def ready(self) -> None:
        """Wait until it is known which Jobs there are. Raises what keeps that from being known."""
        await self._board.ready()

    async def begin(self, shard: Shard, *, context: Mapping[str, str], kind: str) -> Place:
        """Send off a shard of several steps, or join the very same; where its first step is."""
        await self.ready()
        job, run = await self._runs.begin((shard,), context=context, kind=kind)
        return Place(str(job["metadata"]["name"]), str(job["metadata"]["uid"]), run, 0, 0)

    async def drop(self, place: Place) -> None:
        """Delete the Job of a result that is not there any more."""
        await self._runs.drop(place)
        self._board.jobs.pop(place.job, None)

    async def reconcile(self, alive: Alive) -> None:
        """Remove what nobody waits for, again and again. `alive`: which of some jobs are under way or wait."""
        await reconciling(
            self._cluster,
            self._board,
            alive=alive,
            followed=lambda: self.followed,
            every=self._settings.reconcile_seconds,
        )

    def leave(self) -> None:
        """From now on, who is cancelled leaves its Job running: another orchestrator takes it up."""
        self._leaving = True

    @property
    def followed(self) -> frozenset[str]:
        """The Jobs that somebody here waits for."""
        return frozenset(+self._followers)

    async def follow(self, place: Place, subject: str, on_progress: Callable[[Progress], None]) -> Result:
        """The outcome of a step; the Job goes when the last who waits for it is cancelled."""
        self._followers[place.job] += 1
        self._figures.following(self._by_kind())
        try:
            return await self._outcome(place, subject, on_progress)
        except asyncio.CancelledError:
            if self._followers[place.job] == 1 and not self._leaving:
                self._drop_soon(place)
            raise
        finally:
            self._followers[place.job] -= 1
            self._followers += Counter()
            self._figures.following(self._by_kind())

    async def _outcome(self, place: Place, subject: str, on_progress: Callable[[Progress], None]) -> Result:
        told, teller = None, _Teller(self._cluster, self._board, place)
        mailbox = self._runs.mailbox(place)
        while True:
            # The Job before its news: what is over by now has said all that it will say.
            job = self._board.jobs.get(place.job)
            over = job is None or job["metadata"]["uid"] != place.uid or reasons.failed(job, place.index)
            news = await asyncio.to_thread(mailbox.news, place.index, place.step)
            if isinstance(news, Result):
                return news
            if isinstance(news, Fault) and (news.final or over):
                raise news.error
            if over:
                if job is None:
                    raise Unavailable(f"{subject}: its worker Job {place.job} was deleted; another one is made.")
                raise reasons.failure(job, self._board.pods(place.job, place.index), subject=subject)
            report = news if isinstance(news, Progress) else Progress(0, 0, await teller.waiting())
            if report != told:
                told = report
                on_progress(report)
            await self._board.news(patience=self._settings.poll_seconds)

    def _by_kind(self) -> dict[str, int]:
        kinds = {SHARDS: 0, BATCH: 0}
        for name in self.followed:
            kind = str(self._board.jobs.get(name, {}).get("metadata", {}).get("labels", {}).get(KIND, SHARDS))
            kinds[kind] = kinds.get(kind, 0) + 1
        return kinds

    def _drop_soon(self, place: Place) -> None:
        async def drop() -> None:
            try:
                await self._runs.drop(place)
            except OmnimatteError as error:
                _log.warning("Job %s could not be deleted now, and will be later: %s", place.job, error.message)

        task = asyncio.create_task(drop())
        self._dropping.add(task)
        task.add_done_callback(self._dropping.discard)

    async def close(self) -> None:
        """Wait until what was cancelled is gone."""
        if self._dropping:
            await asyncio.wait(self._dropping)


class _Teller:
    """Why a shard does not run yet. Asks the API server for events only where nothing else tells, and seldom."""

    def __init__(self, cluster: Cluster, board: Board, place: Place) -> None:
        self._cluster, self._board, self._place = cluster, board, place
        self._events: Iterable[Object] = ()
        self._next = time.monotonic() + _EVENTS_SECONDS

    async def waiting(self) -> str:
        job = self._board.jobs.get(self._place.job)
        if job is None:
            return ""
        pods = self._board.pods(self._place.job, self._place.index)
        if not pods and time.monotonic() >= self._next:
            self._next = time.monotonic() + _EVENTS_SECONDS
            with contextlib.suppress(OmnimatteError):
                self._events = await self._cluster.events_about("Job", self._place.job)
        return reasons.waiting(job, pods, self._events)


@asynccontextmanager
async def running(
    cluster: Cluster, *, settings: Shards, store: Store, pod: str, figures: Figures
) -> AsyncIterator[KubernetesRunner]:
    """A runner for the length of the block.

    Args:
        pod: this process's own pod, whose StatefulSet then owns the Jobs; "": they are nobody's.
        figures: told what happens.
    Raises:
        BadOption: the pod template cannot be used.
    """
    template = await asyncio.to_thread(read_template, Path(settings.template))
    board = Board(cluster, on_restart=figures.watch_restarted)
    runs = Runs(cluster, board, store, settings=settings, template=template)
    async with board.kept():
        if pod:
            runs.own(await _owner_of(cluster, pod))
        runner = KubernetesRunner(cluster, board, runs, settings=settings, store=store, figures=figures)
        try:
            yield runner
        finally:
            await runner.close()


async def _owner_of(cluster: Cluster, pod: str) -> Object | None:
    """What made the pod. The pod itself must own nothing: its Jobs have to outlive it."""
    owners = (await cluster.pod(pod) or {}).get("metadata", {}).get("ownerReferences") or []
    for owner in owners:
        if owner.get("controller"):
            return {name: owner[name] for name in ("apiVersion", "kind", "name", "uid")}
    return None
