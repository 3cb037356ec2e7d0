"""A whole job in one worker: all nodes of its plan, one after the other, as one Job of a single shard.

For batch: no model server is held, and the cluster makes room for the job or lets it wait. Each node is still a stage
run to the executor, which here only looks on: the first request sends the worker off, the others follow its steps.
Must not know: the jobs' database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from orchestrator.plan import Node, Upload
from orchestrator.runners.kubernetes.manifest import BATCH
from orchestrator.runners.kubernetes.runner import KubernetesRunner
from orchestrator.runners.kubernetes.runs import Place
from services.artifacts import Store
from services.shards import Shard, Step, earlier
from services.stage import Progress, Request, Result


class Bundle:
    """A `Runner` for the nodes of one plan. Belongs to one event loop."""

    def __init__(self, nodes: Sequence[Node], *, runner: KubernetesRunner, store: Store) -> None:
        self._nodes = tuple(nodes)
        self._number = {node.id: number for number, node in enumerate(nodes)}
        self._runner = runner
        self._store = store
        self._begun: asyncio.Task[Place] | None = None

    async def run(self, request: Request, *, on_progress: Callable[[Progress], None]) -> Result:
        """See `Runner.run`."""
        while True:
            begun = self._begun = self._begun or asyncio.create_task(self._begin(request))
            try:
                # Whoever is cancelled here cancels no other's wait.
                first = await asyncio.shield(begun)
                place = Place(first.job, first.uid, first.run, 0, self._number[request.subject])
                result = await self._runner.follow(place, request.subject, on_progress)
            except Exception:
                if self._begun is begun:
                    self._begun = None
                raise
            if await asyncio.to_thread(self._store.find, result.address) is not None:
                return result
            # An ended Job's word for something that has been deleted since.
            await self._runner.drop(place)
            if self._begun is begun:
                self._begun = None

    async def _begin(self, request: Request) -> Place:
        steps = tuple(Step(node.id, _request(node, request)) for node in self._nodes)
        return await self._runner.begin(Shard(steps), context=request.context, kind=BATCH)


def _request(node: Node, like: Request) -> Request:
    inputs = {
        name: ref.address if isinstance(ref, Upload) else earlier(ref.node, ref.part)
        for name, ref in node.inputs.items()
    }
    return Request(node.stage, node.params, inputs, node.id, like.context)
