"""Puts the orchestrator together: what talks to what is visible here and nowhere else.

    API servicer -> Jobs -> Database, Store, Scheduler
    Scheduler -> Workflows -> JobRunner -> execute -> Runner (Triton, in-process, ...)

Must not know: where settings come from, and how stage servers are started.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import registry as prometheus

from orchestrator.access.audit import auditing
from orchestrator.access.gate import Gate, Known, everybody
from orchestrator.access.keys import Keys
from orchestrator.access.settings import endpoint
from orchestrator.access.tokens import Tokens
from orchestrator.access.transport import server_credentials
from orchestrator.api import omnimatte_pb2, omnimatte_pb2_grpc
from orchestrator.api.bounds import Bounds
from orchestrator.api.servicer import Servicer
from orchestrator.collect import Collector
from orchestrator.collecting import collecting
from orchestrator.compose import Editor
from orchestrator.db import Database
from orchestrator.estimate.estimator import Estimator
from orchestrator.estimate.ledger import Ledger
from orchestrator.file_server import serving_files
from orchestrator.jobs import Jobs
from orchestrator.journal import Bell
from orchestrator.keep import Keeper
from orchestrator.limits import Limits
from orchestrator.observe.calls import ObservedCalls
from orchestrator.observe.expiry import Expiry
from orchestrator.observe.metrics import Metrics, exported
from orchestrator.observe.runner import ObservedRunner
from orchestrator.observe.survey import Surveyed, Surveyor
from orchestrator.observe.tenants import TenantLabels
from orchestrator.observe.waits import Waits
from orchestrator.preview import Reader
from orchestrator.references import References
from orchestrator.run import JobRunner, Whole
from orchestrator.runners.base import Runner
from orchestrator.scheduling.identity import identity
from orchestrator.scheduling.queue import Queue
from orchestrator.scheduling.replicas import Replicas
from orchestrator.scheduling.scheduler import Scheduler
from orchestrator.settings import Settings
from orchestrator.signing import Signer, signing_key
from orchestrator.slots import Places, Slots
from orchestrator.upload_sessions import Sessions
from orchestrator.uploads import Uploads
from orchestrator.workflow import Workflows, WorkflowSettings
from services.artifacts import Store
from services.errors import OmnimatteError, Unavailable

SERVICE = omnimatte_pb2.DESCRIPTOR.services_by_name["Omnimatte"].full_name

_GRACE_SECONDS = 1.0
_ADMIT_SECONDS = 1.0


@dataclass(frozen=True)
class Server:
    """A running orchestrator.

    Attributes:
        address: HOST:PORT of the gRPC API.
        metrics_url: where Prometheus finds its figures.
        jobs: the service behind the API.
        under_way: which of some jobs run or wait to; blocking.
    """

    address: str
    metrics_url: str
    jobs: Jobs
    under_way: Callable[[Collection[str]], set[str]]
    _runner: JobRunner
    _health: health.aio.HealthServicer

    async def fail(self, error: OmnimatteError) -> None:
        """The stage servers are gone for good: running jobs end with `error`, and the health service says so."""
        await self._health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._health.set(SERVICE, health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._runner.abort(error)


@asynccontextmanager
async def serving(
    settings: Settings,
    runner: Runner,
    *,
    places: Places | None = None,
    whole: Whole | None = None,
    collectors: Sequence[prometheus.Collector] = (),
) -> AsyncIterator[Server]:
    """An orchestrator that runs stages on `runner`, for the length of the block.

    Jobs still running at its end stay recorded as such; the next server with the same settings takes them up.

    Args:
        settings: see there.
        runner: reaches the stages.
        places: how many runs of each stage may be under way at once; default: one.
        whole: runs whole jobs of class batch, where they have a runner each.
        collectors: figures for Prometheus beside our own.
    Raises:
        Unavailable: a port is in use, or the database cannot be opened.
        BadOption: strangers could call, a certificate, key or log file cannot be used, or replicas would not work.
        Conflict: the database is of another version, or another orchestrator has this one's name.
    """
    access = settings.access
    access.require_safe(settings.host)
    settings.require_identity()
    credentials = server_credentials(access.tls) if access.tls is not None else None
    tokens = Tokens(access.jwt) if access.jwt is not None else None
    async with contextlib.AsyncExitStack() as stack:
        audit = stack.enter_context(auditing(access.audit_target))
        store = await asyncio.to_thread(Store, settings.store)
        database = await asyncio.to_thread(Database, settings.database_url)
        stack.callback(database.close)
        references = await asyncio.to_thread(References, database.engine)
        keeper = Keeper(store, references, limit_bytes=settings.hygiene.limit_bytes)
        bell = Bell()
        tenants = TenantLabels()
        metrics = Metrics(tenants=tenants)
        for more in collectors:
            metrics.register(more)
        runner = ObservedRunner(runner, metrics.jobs)
        estimator = Estimator(ledger=Ledger(database.engine), store=store)
        slots = Slots(total=settings.running_stages, places=places)
        metrics.register(Waits(slots))
        if access.tls is not None:
            metrics.register(Expiry({"api": access.tls.certificate}))
        queue = Queue(database.engine, settings.policies)
        surveyor = Surveyor(database=database, queue=queue, references=references)
        metrics.register(Surveyed(surveyor, tenants=tenants, store_limit=settings.hygiene.limit_bytes))
        stack.enter_context(identity(database.engine, settings.executor_id))
        job_runner = JobRunner(
            replica=settings.executor_id,
            database=database,
            queue=queue,
            bell=bell,
            runner=runner,
            slots=slots,
            whole=_observed(whole, metrics) if whole is not None else None,
            metrics=metrics,
            keeper=keeper,
            estimator=estimator,
        )
        engine = WorkflowSettings(database_url=settings.workflows_url, executor_id=settings.executor_id)
        scheduler = Scheduler(
            replica=settings.executor_id,
            places=settings.running_jobs,
            queue=queue,
            replicas=Replicas(database.engine, silent_after=settings.pace.silent),
            attempts=partial(Workflows, engine),
            runner=job_runner,
            pace=settings.pace,
            on_sweep=lambda sweep: metrics.jobs.swept(sweep.silent, sweep.jobs),
        )
        key = await asyncio.to_thread(signing_key, database.engine)
        signer = await stack.enter_async_context(
            serving_files(
                settings.files,
                signer=lambda base: Signer(settings.files.signing, store=store, key=key, base_url=base),
                database=database,
                store=store,
            )
        )
        jobs = Jobs(
            database=database,
            bell=bell,
            store=store,
            keeper=keeper,
            queue=queue,
            policies=settings.policies,
            dispatch=scheduler,
            reader=Reader(runner=runner, keeper=keeper, store=store, made=estimator.made),
            estimator=estimator,
            signer=signer,
            editor=Editor(runner=runner, keeper=keeper, store=store),
            profile=settings.profile,
        )
        uploads = Uploads(
            database=database,
            sessions=Sessions(database.engine, grace=settings.hygiene.grace_seconds),
            store=store,
            keeper=keeper,
            metrics=metrics,
            max_bytes=settings.max_upload_bytes,
        )
        if not settings.resume:
            await jobs.abandon()

        keys = Keys(database.engine) if access.api_keys else None
        authenticator = Known(keys=keys, tokens=tokens) if access.authenticates else everybody
        grpc_server, health_servicer = await _grpc_server(
            Servicer(jobs, uploads),
            [ObservedCalls(metrics.calls), Bounds(settings.limits), Gate(authenticator, audit)],
            settings.limits,
        )
        port = _listen(grpc_server, settings, credentials)
        metrics_port = stack.enter_context(exported(metrics, host=settings.metrics_host, port=settings.metrics_port))
        stack.enter_context(_admitting(slots))
        stack.push_async_callback(scheduler.stop)
        await scheduler.start()
        collector = Collector(
            store=store,
            database=database,
            references=references,
            keeper=keeper,
            hygiene=settings.hygiene,
            on_removed=lambda removed: metrics.collected(removed.kind.value, removed.size),
        )
        await stack.enter_async_context(
            collecting(collector, references, metrics, every=settings.hygiene.collect_seconds)
        )
        await grpc_server.start()
        stack.push_async_callback(grpc_server.stop, _GRACE_SECONDS)
        yield Server(
            address=endpoint(settings.host, port),
            metrics_url=f"http://{endpoint(settings.metrics_host, metrics_port)}/metrics",
            jobs=jobs,
            under_way=database.under_way,
            _runner=job_runner,
            _health=health_servicer,
        )


@contextlib.contextmanager
def _admitting(slots: Slots) -> Iterator[None]:
    """Places come by themselves where pods do."""

    async def admit() -> None:
        while True:
            await asyncio.sleep(_ADMIT_SECONDS)
            slots.admit()

    task = asyncio.create_task(admit())
    try:
        yield
    finally:
        task.cancel()


def _observed(whole: Whole, metrics: Metrics) -> Whole:
    return lambda nodes: ObservedRunner(whole(nodes), metrics.jobs)


async def _grpc_server(
    servicer: Servicer, interceptors: Sequence[grpc.aio.ServerInterceptor], limits: Limits
) -> tuple[grpc.aio.Server, health.aio.HealthServicer]:
    server = grpc.aio.server(interceptors=interceptors, options=limits.options(), maximum_concurrent_rpcs=limits.calls)
    omnimatte_pb2_grpc.add_OmnimatteServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    health_servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    for name in ("", SERVICE):
        await health_servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    return server, health_servicer


def _listen(server: grpc.aio.Server, settings: Settings, credentials: grpc.ServerCredentials | None) -> int:
    address = endpoint(settings.host, settings.port)
    try:
        port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    except RuntimeError:
        port = 0
    if port == 0:
        raise Unavailable(
            f"port {settings.port} on {settings.host} is in use by another program; stop that program or choose "
            "another port with --port."
        )
    return port
