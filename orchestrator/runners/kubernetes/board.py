"""Which of our Jobs and pods there are, as far as the API server has told: list once, then watch.

A watch that breaks off goes on where it was; one that the server cannot continue (410) begins with a new list. What is
gone from a new list was deleted meanwhile.
Must not know: what the Jobs are for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from orchestrator.runners.kubernetes.api import JOBS, PODS, Cluster, Object, Outdated
from orchestrator.runners.kubernetes.manifest import INDEX, JOB_NAME, RUN
from services.errors import Internal, OmnimatteError, Unavailable

_log = logging.getLogger(__name__)

SELECTOR = RUN
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0
_READY_SECONDS = 20.0


class Board:
    """Jobs by name; pods by Job and index. Belongs to one event loop."""

    def __init__(self, cluster: Cluster, *, on_restart: Callable[[], None] = lambda: None) -> None:
        """on_restart: called whenever a watch has to be made anew from a list."""
        self._cluster = cluster
        self._on_restart = on_restart
        self.jobs: dict[str, Object] = {}
        self._pods: dict[str, dict[str, Object]] = {}
        self._listed = {JOBS: asyncio.Event(), PODS: asyncio.Event()}
        self._changed = asyncio.Event()
        self._gone: list[Callable[[Object], None]] = []
        self._trouble: OmnimatteError | None = None

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Up to date for the length of the block."""
        tasks = [asyncio.create_task(self._keep(path), name=f"watch {path}") for path in (JOBS, PODS)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def ready(self) -> None:
        """Wait for the first list. Raises what keeps it from coming."""
        try:
            async with asyncio.timeout(_READY_SECONDS):
                for listed in self._listed.values():
                    await listed.wait()
        except TimeoutError:
            raise self._trouble or Unavailable(
                "the Kubernetes API server does not answer; it is asked again."
            ) from None

    async def news(self, *, patience: float) -> None:
        """Until something has changed, at most `patience` seconds."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), patience)

    def when_gone(self, call: Callable[[Object], None]) -> None:
        """Call it with each Job that is deleted from now on."""
        self._gone.append(call)

    def pods(self, job: str, index: int) -> list[Object]:
        """The index's pods that there are, the oldest first."""
        found = [pod for pod in self._pods.get(job, {}).values() if index_of(pod) == index]
        return sorted(found, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))

    def note(self, job: Object) -> None:
        """What a call has just answered need not wait for the watch."""
        self.jobs.setdefault(str(job["metadata"]["name"]), _trimmed(job))

    async def _keep(self, path: str) -> None:
        version, failures = "", 0
        while True:
            try:
                if not version:
                    listing = await self._cluster.list(path, selector=SELECTOR)
                    self._replace(path, listing.items, listing.version)
                    version = listing.version
                async for change in self._cluster.watch(path, selector=SELECTOR, since=version):
                    version, failures = change.version, 0
                    if change.kind != "BOOKMARK":
                        self._apply(path, change.kind, change.item)
            except Outdated:
                version = ""
                self._on_restart()
            except OmnimatteError as error:
                if not failures:
                    _log.warning("%s", error.message)
                self._trouble = error
                if isinstance(error, Internal):
                    version = ""
                await asyncio.sleep(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**failures))
                failures += 1
                self._on_restart()

    def _replace(self, path: str, items: tuple[Object, ...], version: str) -> None:
        names = {str(item["metadata"]["name"]) for item in items}
        known = (
            dict(self.jobs) if path == JOBS else {pod: one for pods in self._pods.values() for pod, one in pods.items()}
        )
        for name, item in known.items():
            # What was made after the list was, is not gone.
            if name not in names and not _later(item, version):
                self._apply(path, "DELETED", item)
        for item in items:
            self._apply(path, "MODIFIED", item)
        self._trouble = None
        self._listed[path].set()

    def _apply(self, path: str, kind: str, item: Object) -> None:
        name = str(item["metadata"]["name"])
        if path == JOBS:
            if kind == "DELETED":
                self.jobs.pop(name, None)
                for call in self._gone:
                    call(item)
            else:
                self.jobs[name] = _trimmed(item)
        else:
            job = str(item["metadata"].get("labels", {}).get(JOB_NAME, ""))
            pods = self._pods.setdefault(job, {})
            if kind == "DELETED":
                pods.pop(name, None)
            else:
                pods[name] = _trimmed(item)
            if not pods:
                del self._pods[job]
        # Whoever waits is woken once; who comes later waits for the next.
        self._changed.set()
        self._changed = asyncio.Event()


def _later(item: Object, version: str) -> bool:
    """Whether the object is newer than that version of everything. Versions count up, in every server that there is."""
    own = str(item["metadata"].get("resourceVersion", ""))
    return own.isdigit() and version.isdigit() and int(own) > int(version)


def index_of(item: Object) -> int | None:
    """A pod's completion index."""
    metadata = item["metadata"]
    text = metadata.get("annotations", {}).get(INDEX, metadata.get("labels", {}).get(INDEX))
    return int(text) if text is not None and str(text).isdigit() else None


def _trimmed(item: Object) -> dict[str, Any]:
    """What anybody here asks for: thousands of whole pods would be much memory."""
    metadata: Mapping[str, Any] = item["metadata"]
    kept = ("name", "uid", "labels", "annotations", "creationTimestamp", "deletionTimestamp", "resourceVersion")
    spec = item.get("spec", {})
    return {
        "metadata": {name: metadata[name] for name in kept if name in metadata},
        "spec": {name: spec[name] for name in ("suspend", "nodeName", "completions") if name in spec},
        "status": item.get("status", {}),
    }
