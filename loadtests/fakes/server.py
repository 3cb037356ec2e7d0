"""A model server on one address: Triton's gRPC stream, its health and statistics, its figures over HTTP, and a door
through which a test makes it slow.

    GET /metrics   PUT /trouble {"slow": 3.0, "store_seconds": 0.5}

Must not know: how it is started, and by whom.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
from aiohttp import web
from tritonclient.grpc import service_pb2 as triton
from tritonclient.grpc import service_pb2_grpc

from loadtests.fakes.model import Gpu, Model, exposed
from loadtests.fakes.stage import FakeStage, Trouble
from loadtests.fakes.tempo import Tempo
from services.artifacts import Store
from services.errors import BadOption, encode, from_exception
from services.stage import Progress, Request, Result, event_to_json, execute

GPU_STAGES = frozenset({"sam2", "plate", "casper", "ssr", "depth", "omnimatte", "preview"})
"""Those that a production server has a GPU for."""


class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """See above. Belongs to one event loop."""

    def __init__(self, store: str, tempo: Tempo, instances: Mapping[str, int]) -> None:
        """instances: stage -> how many instances its model has."""
        self._store = Store(store)
        self.gpu, self._trouble = Gpu(), Trouble()
        self.models = {name: Model(name, instances=count) for name, count in instances.items()}
        self._stages = {name: FakeStage(name, tempo, self._trouble) for name in instances}
        # An instance waits in a thread, which costs next to nothing.
        self._pool = ThreadPoolExecutor(sum(instances.values()), thread_name_prefix="fake")

    async def ServerLive(self, request: Any, context: Any) -> Any:
        return triton.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: Any) -> Any:
        return triton.ServerReadyResponse(ready=True)

    async def ModelReady(self, request: Any, context: Any) -> Any:
        return triton.ModelReadyResponse(ready=request.name in self.models)

    async def ModelStatistics(self, request: Any, context: Any) -> Any:
        return triton.ModelStatisticsResponse(
            model_stats=[_statistics(model) for model in self.models.values() if request.name in ("", model.name)]
        )

    async def ModelStreamInfer(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        async for message in requests:
            answers: asyncio.Queue[Any] = asyncio.Queue()
            work = asyncio.create_task(self._answer(message, answers))
            try:
                while (answer := await answers.get()) is not None:
                    yield answer
            finally:
                work.cancel()
                await asyncio.wait([work])

    async def _answer(self, message: Any, answers: asyncio.Queue[Any]) -> None:
        """Puts the request's events, and None at the end."""

        def told(event: Progress | Result) -> None:
            answers.put_nowait(_event(message, event))

        try:
            model = self.models.get(message.model_name)
            request = Request.from_json(message.raw_input_contents[0].decode())
            if model is None or request.stage != message.model_name:
                raise BadOption(f"the model {message.model_name!r} does not run {request.stage!r} here.")
            async with model.instance():
                told(await self._run(request, told))
        except Exception as error:
            failure = from_exception(error, doing=message.model_name)
            answers.put_nowait(triton.ModelStreamInferResponse(error_message=encode(failure)))
        finally:
            answers.put_nowait(None)

    async def _run(self, request: Request, told: Callable[[Progress], None]) -> Result:
        loop, stopped = asyncio.get_running_loop(), threading.Event()

        def progressed(progress: Progress) -> None:
            loop.call_soon_threadsafe(told, progress)

        def work() -> Result:
            return execute(
                self._stages[request.stage],
                request,
                self._store,
                on_progress=progressed,
                cancelled=stopped.is_set,
            )

        on_gpu = request.stage in GPU_STAGES
        with self.gpu.used() if on_gpu else contextlib.nullcontext():
            running = loop.run_in_executor(self._pool, work)
            try:
                return replace(await asyncio.shield(running), gpu=on_gpu)
            except asyncio.CancelledError:
                # A real stage stops at its next look, and cleans up; so does this one, and is waited for.
                stopped.set()
                await asyncio.wait([running])
                running.exception()
                raise

    @contextlib.asynccontextmanager
    async def serving(self, host: str, *, port: int, metrics_port: int) -> AsyncIterator[tuple[int, int]]:
        """Serves for the length of the block; yields the two ports, which may be asked for as 0."""
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, server)
        port = server.add_insecure_port(f"{host}:{port}")
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_put("/trouble", self._troubled)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, metrics_port).start()
            await server.start()
            yield port, runner.addresses[0][1]
        finally:
            await server.stop(0)
            await runner.cleanup()
            self._pool.shutdown()

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(text=exposed(list(self.models.values()), self.gpu))

    async def _troubled(self, request: web.Request) -> web.Response:
        try:
            asked = Trouble(**{name: float(value) for name, value in (await request.json()).items()})
        except (ValueError, TypeError, AttributeError):
            return web.Response(status=400, text="send {slow, store_seconds}, both numbers\n")
        self._trouble.slow, self._trouble.store_seconds = asked.slow, asked.store_seconds
        return web.Response(text="so be it\n")


def _event(message: Any, event: Progress | Result) -> Any:
    data = np.frombuffer(event_to_json(event).encode(), np.uint8)
    response = triton.ModelInferResponse(
        model_name=message.model_name,
        id=message.id,
        outputs=[{"name": "event", "datatype": "UINT8", "shape": [data.size]}],
        raw_output_contents=[data.tobytes()],
    )
    return triton.ModelStreamInferResponse(infer_response=response)


def _statistics(model: Model) -> Any:
    figures = model.figures
    count = figures.succeeded + figures.failed
    return triton.ModelStatistics(
        name=model.name,
        version="1",
        inference_count=count,
        execution_count=count,
        inference_stats=triton.InferStatistics(
            success=triton.StatisticDuration(
                count=figures.succeeded, ns=int(1e9 * (figures.queued + figures.computed))
            ),
            fail=triton.StatisticDuration(count=figures.failed),
            queue=triton.StatisticDuration(count=count, ns=int(1e9 * figures.queued)),
            compute_infer=triton.StatisticDuration(count=count, ns=int(1e9 * figures.computed)),
        ),
    )
