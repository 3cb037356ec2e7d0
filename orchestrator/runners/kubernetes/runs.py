"""Which run a request belongs to: one that is under way, wherever it was begun, or a new one.

Nothing is written down here about what was begun. The API server has the Jobs and the store has what each is about; a
process that begins anew, or another replica, finds both.
Must not know: how a run's outcome is told.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping, Sequence
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
        # Jobs by name, with the keys of what they do; and the other way round.
        self._known: dict[str, list[str]] = {}
        self._places: dict[str, dict[str, Place]] = {}
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
        usable = [place for place in self._places.get(key_of(request), {}).values() if self._usable(place)]
        return usable[0] if usable else None

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
        self._board.note(job)
        self._learn(job, shards)
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
        for name in self._board.jobs.keys() - self._known.keys():
            job = self._board.jobs.get(name)
            if job is None:
                continue
            run = str(job["metadata"].get("labels", {}).get(RUN, ""))
            try:
                shards = await asyncio.to_thread(Mailbox(self._store, run).work)
            except NotFound:
                # Being deleted, or so old that its traces have been collected.
                shards = ()
            except OmnimatteError as error:
                _log.warning("Job %s is nobody's: %s", name, error.message)
                shards = ()
            self._learn(job, shards)

    def _learn(self, job: Object, shards: Sequence[Shard]) -> None:
        """From now on, requests for what the Job does lead to it. A whole job's worker is nobody else's."""
        metadata = job["metadata"]
        name, labels = str(metadata["name"]), metadata.get("labels", {})
        self._unlearn(name)
        keys = []
        for index, shard in enumerate(shards if labels.get(KIND) == SHARDS else ()):
            for number, step in enumerate(shard.steps):
                key = key_of(step.request)
                keys.append(key)
                place = Place(name, str(metadata["uid"]), str(labels.get(RUN, "")), index, number)
                self._places.setdefault(key, {})[name] = place
        self._known[name] = keys

    def _unlearn(self, name: str) -> None:
        for key in self._known.pop(name, ()):
            self._places[key].pop(name, None)
            if not self._places[key]:
                del self._places[key]

    def _usable(self, place: Place) -> bool:
        job = self._board.jobs.get(place.job)
        if job is None or job["metadata"]["uid"] != place.uid:
            return False
        return "deletionTimestamp" not in job["metadata"] and not failed(job, place.index)

    async def drop(self, place: Place) -> None:
        """Delete the Job: nobody waits for it, or what it has made is not there any more."""
        await self._cluster.delete(place.job, uid=place.uid)

    def _forget(self, job: Object) -> None:
        """The Job is gone; so is what it was about."""
        run = str(job["metadata"].get("labels", {}).get(RUN, ""))
        self._unlearn(str(job["metadata"]["name"]))
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
