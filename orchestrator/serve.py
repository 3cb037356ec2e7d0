"""`omnimatte serve`: one orchestrator over model servers, a store and a database that others run, as a pod has it.

Until SIGTERM: then it takes no more jobs, gives back those that it runs, and leaves. What runs as Kubernetes Jobs goes
on meanwhile, and whoever takes the jobs finds it.
Must not know: command lines, or how any of it works inside.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from prometheus_client.registry import Collector

from orchestrator.plan import Node
from orchestrator.run import Whole
from orchestrator.runners.base import Runner
from orchestrator.runners.kubernetes.settings import Shards
from orchestrator.runners.pods import Resolve, TritonPods
from orchestrator.runners.routed import RoutedRunner
from orchestrator.server import serving
from orchestrator.settings_file import Deployment
from orchestrator.slots import UNLIMITED, Places
from services.artifacts import Store
from services.observe.logs import tell

Alive = Callable[[Collection[str]], set[str]]


def serve(deployment: Deployment, *, resolve: Resolve | None = None) -> int:
    """Serve until SIGINT or SIGTERM; returns 0.

    resolve: asks for the addresses behind the names of model servers; default: the machine's own name service.
    Raises:
        OmnimatteError: see `orchestrator.server.serving`.
    """
    with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
        asyncio.run(_serve(deployment, resolve))
    return 0


async def _serve(deployment: Deployment, resolve: Resolve | None) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    settings = deployment.settings
    pods = TritonPods(deployment.models, limits=deployment.stage_limits, tls=deployment.models_tls, resolve=resolve)
    async with pods.looking(), _workers(deployment, pods) as stages:

        def stop() -> None:
            stages.leave()
            task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        async with serving(
            settings, stages.runner, places=stages.places, whole=stages.whole, collectors=stages.collectors
        ) as server:
            tell(f"ready: {settings.executor_id} has its gRPC API on {server.address}, metrics on {server.metrics_url}")
            reconciling = asyncio.create_task(stages.reconcile(server.under_way))
            try:
                await loop.create_future()
            finally:
                reconciling.cancel()


@dataclass(frozen=True)
class _Stages:
    """Where stages run.

    Attributes:
        whole: runs whole batch jobs; None: nobody does.
        leave: call it before the runs are cancelled because this process ends.
        reconcile: looks after what jobs have left behind, for ever; takes which of some jobs are under way.
    """

    runner: Runner
    places: Places
    whole: Whole | None
    collectors: Sequence[Collector]
    leave: Callable[[], None]
    reconcile: Callable[[Alive], Coroutine[None, None, None]]


async def _nothing(_: Alive) -> None:
    """There are no Jobs to look after."""


@asynccontextmanager
async def _workers(deployment: Deployment, pods: TritonPods) -> AsyncIterator[_Stages]:
    if deployment.shards is None:
        yield _Stages(pods, pods.places, None, (), lambda: None, _nothing)
        return
    async with _on_kubernetes(deployment.shards, deployment.settings.store, pods) as stages:
        yield stages


@asynccontextmanager
async def _on_kubernetes(shards: Shards, store_url: str, pods: TritonPods) -> AsyncIterator[_Stages]:
    # The client library takes a second to import: only who uses it waits.
    from orchestrator.observe.worker_figures import WorkerFigures
    from orchestrator.runners.kubernetes.api import connected
    from orchestrator.runners.kubernetes.bundle import Bundle
    from orchestrator.runners.kubernetes.runner import running

    figures = WorkerFigures()
    store = await asyncio.to_thread(Store, store_url)
    pod = os.environ.get("OMNIMATTE_POD_NAME", "")
    async with (
        connected(shards.namespace, on_call=figures.called) as cluster,
        running(cluster, settings=shards, store=store, pod=pod, figures=figures) as workers,
    ):

        def places(stage: str) -> int:
            # Jobs wait in the cluster, which knows what there is room for.
            return UNLIMITED if stage in shards.stages else pods.places(stage)

        def whole(nodes: Sequence[Node]) -> Runner:
            return Bundle(nodes, runner=workers, store=store)

        yield _Stages(
            runner=RoutedRunner(pods, stages=dict.fromkeys(shards.stages, workers)),
            places=places,
            whole=whole if shards.batch_jobs else None,
            collectors=(figures,),
            leave=workers.leave,
            reconcile=workers.reconcile,
        )
