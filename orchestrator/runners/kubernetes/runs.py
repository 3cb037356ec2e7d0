"""Which run a request belongs to: one that is under way, wherever it was begun, or a new one.

Nothing is written down here about what was begun. The API server has the Jobs and the store has what each is about; a
process that begins anew, or another replica, finds both.
Must not know: how a run's outcome is told.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.runners.kubernetes.api import Cluster, Object
from orchestrator.runners.kubernetes.board import Board
from orchestrator.runners.kubernetes.manifest import KIND, RUN, SHARDS, labels_of, manifest, name_of
from orchestrator.runners.kubernetes.reasons import ended, failed
from orchestrator.runners.kubernetes.settings import Shards
from services.artifacts import Store
from services.errors import AlreadyExists, NotFound, OmnimatteError, Unavailable
from services.shards import Mailbox, Shard, Step, key_of
from services.stage import Request

_log = logging.getLogger(__name__)

_LEAVING_SECONDS = 60.0
_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Place:
    """Where a request is worked on: Job `job` of identity `uid`, its completion index, and the step of that shard."""

    job: str
    uid: str
    run: str
    index: int
    step: int


class Runs:
    """Starts runs and finds them again. Belongs to one event loop."""

    def __init__(
        self, cluster: Cluster, board: Board, store: Store, *, settings: Shards, template: Mapping[str, Any]
    ) -> None:
        self._cluster = cluster
        self._board = board
        self._store = store
        self._settings = settings
        self._template = template
        self._owner: Mapping[str, Any] | None = None
        self._work: dict[str, tuple[Shard, ...]] = {}
        # Runs by the name of a Job that may or may not have been made.
        self._unsure: dict[str, str] = {}
        self._clearing: set[asyncio.Task[None]] = set()
        board.when_gone(self._forget)

    def own(self, owner: Mapping[str, Any] | None) -> None:
        """From now on, Jobs belong to `owner` (an ownerReference)."""
        self._owner = owner

    def mailbox(self, place: Place) -> Mailbox:
        return Mailbox(self._store, place.run)

    async def found(self, request: Request) -> Place | None:
        """Where the request is being worked on, or has been with success."""
        await self._read()
        key = key_of(request)
        for place, step in self._places():
            if key == key_of(step.request) and self._usable(place):
                return place
        return None

    async def start(self, requests: Sequence[Request], *, kind: str = SHARDS) -> list[Place]:
        """Send the requests out as one run, a shard each, or join the very same run. In the order of the requests."""
        ordered = sorted({key_of(request): request for request in requests}.items())
        shards = tuple(Shard((Step(request.subject, request),)) for _, request in ordered)
        job, run = await self.begin(shards, context=requests[0].context, kind=kind)
        index = {key: i for i, (key, _) in enumerate(ordered)}
        uid = str(job["metadata"]["uid"])
        return [Place(str(job["metadata"]["name"]), uid, run, index[key_of(one)], 0) for one in requests]

    async def begin(self, shards: tuple[Shard, ...], *, context: Mapping[str, str], kind: str) -> tuple[Object, str]:
        """The Job of these shards, made or found, and the name of its run.

        Raises:
            PermissionDenied: the cluster does not allow it. Unavailable: it cannot just now. Internal: it refuses the
            Job.
        """
        name = name_of(shards)
        run = self._unsure.pop(name, None) or secrets.token_hex(12)
        mailbox = Mailbox(self._store, run)
        # First what there is to do, then who does it: a worker never looks in vain.
        await asyncio.to_thread(mailbox.send, shards)
        try:
            job = await self._made(shards, run, context=context, kind=kind)
        except Unavailable:
            # It may have been made all the same, and only the answer is lost.
            self._unsure[name] = run
            raise
        except OmnimatteError:
            await asyncio.to_thread(mailbox.clear)
            raise
        actual = str(job["metadata"]["labels"][RUN])
        if actual != run:
            await asyncio.to_thread(mailbox.clear)
        self._work[actual] = shards
        self._board.note(job)
        return job, actual

    async def _made(self, shards: tuple[Shard, ...], run: str, *, context: Mapping[str, str], kind: str) -> Object:
        labels = labels_of(kind, run, context)
        wanted = manifest(shards, settings=self._settings, template=self._template, labels=labels, owner=self._owner)
        name, until = name_of(shards), asyncio.get_running_loop().time() + _LEAVING_SECONDS
        while True:
            try:
                return await self._cluster.create(wanted)
            except AlreadyExists:
                there = await self._cluster.job(name)
            if there is not None and not _over(there):
                # Somebody else's, or ours, whose answer was lost on its way.
                return there
            if there is not None and "deletionTimestamp" not in there["metadata"]:
                await self._cluster.delete(name, uid=str(there["metadata"]["uid"]))
            if asyncio.get_running_loop().time() > until:
                raise Unavailable(f"the ended Job {name} does not go away; see who holds it with a finalizer.")
            await asyncio.sleep(_POLL_SECONDS)

    async def _read(self) -> None:
        """Learn what the Jobs are about that others have begun."""
        for job in list(self._board.jobs.values()):
            run = str(job["metadata"].get("labels", {}).get(RUN, ""))
            if run in self._work:
                continue
            try:
                self._work[run] = await asyncio.to_thread(Mailbox(self._store, run).work)
            except NotFound:
                # Being deleted, or so old that its traces have been collected.
                self._work[run] = ()
            except OmnimatteError as error:
                _log.warning("Job %s is nobody's: %s", job["metadata"]["name"], error.message)
                self._work[run] = ()

    def _places(self) -> Iterator[tuple[Place, Step]]:
        for name, job in self._board.jobs.items():
            metadata = job["metadata"]
            if metadata["labels"].get(KIND) != SHARDS:
                continue
            run = str(metadata["labels"].get(RUN, ""))
            for index, shard in enumerate(self._work.get(run, ())):
                for number, step in enumerate(shard.steps):
                    yield Place(name, str(metadata["uid"]), run, index, number), step

    def _usable(self, place: Place) -> bool:
        job = self._board.jobs[place.job]
        return "deletionTimestamp" not in job["metadata"] and not failed(job, place.index)

    async def drop(self, place: Place) -> None:
        """Delete the Job: nobody waits for it, or what it has made is not there any more."""
        await self._cluster.delete(place.job, uid=place.uid)

    def _forget(self, job: Object) -> None:
        """The Job is gone; so is what it was about."""
        run = str(job["metadata"].get("labels", {}).get(RUN, ""))
        self._work.pop(run, None)
        task = asyncio.create_task(asyncio.to_thread(self._clear, run))
        self._clearing.add(task)
        task.add_done_callback(self._clearing.discard)

    def _clear(self, run: str) -> None:
        try:
            Mailbox(self._store, run).clear()
        except Exception:
            # The collector finds it when it is old.
            _log.warning("what run %s has left could not be removed", run, exc_info=True)


def _over(job: Object) -> bool:
    return "deletionTimestamp" in job["metadata"] or ended(job)
