"""Model pods behind a name: the least busy one gets the run, whoever made it busy. Servers speak Triton's protocol."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
from aiohttp import web
from tritonclient.grpc import service_pb2, service_pb2_grpc

from orchestrator.runners.pods import TritonPods, pending_of
from services.errors import BadOption, Unavailable
from services.stage import Progress, Request, Result, event_to_json

CASPER = Request("casper", {"seed": 1}, {}, "casper/vase")


class Model(service_pb2_grpc.GRPCInferenceServiceServicer):
    """One pod: answers when it may, and tells how many runs wait there."""

    def __init__(self, host: str) -> None:
        self.host, self.asked, self.pending = host, 0, 0
        self.go = asyncio.Event()
        self.go.set()

    async def ModelStreamInfer(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        async for _ in requests:
            self.asked += 1
            await self.go.wait()
            text = event_to_json(Result(address="a" * 64, meta={"host": self.host}, seconds=1.0, cached=False))
            data = np.frombuffer(text.encode(), np.uint8)
            response = service_pb2.ModelInferResponse(
                model_name="casper",
                outputs=[{"name": "event", "datatype": "UINT8", "shape": [data.size]}],
                raw_output_contents=[data.tobytes()],
            )
            yield service_pb2.ModelStreamInferResponse(infer_response=response)

    @contextlib.asynccontextmanager
    async def serving(self, ports: list[int]) -> AsyncIterator[None]:
        server = grpc.aio.server()
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, server)
        ports[0] = server.add_insecure_port(f"{self.host}:{ports[0]}")

        async def metrics(_: web.Request) -> web.Response:
            return web.Response(
                text=f'nv_inference_pending_request_count{{model="casper",version="1"}} {self.pending}\n'
            )

        app = web.Application()
        app.router.add_get("/metrics", metrics)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, self.host, ports[1])
        await site.start()
        ports[1] = runner.addresses[0][1]
        await server.start()
        try:
            yield
        finally:
            self.go.set()
            await server.stop(0)
            await runner.cleanup()


class Names:
    """A name service that says what a test says."""

    def __init__(self, *hosts: str) -> None:
        self.hosts: list[str] | None = list(hosts)

    async def __call__(self, host: str, port: int) -> list[str] | None:
        return None if self.hosts is None else list(self.hosts)


@contextlib.asynccontextmanager
async def pods(
    *hosts: str, limits: dict[str, int] | None = None
) -> AsyncIterator[tuple[TritonPods, Names, list[Model]]]:
    models, ports = [Model(host) for host in hosts], [0, 0]
    async with contextlib.AsyncExitStack() as stack:
        for model in models:
            await stack.enter_async_context(model.serving(ports))
        names = Names(*hosts)
        found = TritonPods(
            {"casper": f"casper.films.svc:{ports[0]}"},
            limits=limits,
            metrics_port=ports[1],
            look_seconds=0.05,
            resolve=names,
        )
        await stack.enter_async_context(found.looking())
        yield found, names, models


def ignored(_: Progress) -> None:
    pass


async def run(found: TritonPods) -> str:
    return str((await found.run(CASPER, on_progress=ignored)).meta["host"])


async def test_runs_spread_over_the_pods_by_how_busy_they_are() -> None:
    async with pods("127.0.0.2", "127.0.0.3", "127.0.0.4") as (found, _, models):
        for model in models:
            model.go.clear()
        work = []
        for i in range(6):
            work.append(asyncio.create_task(run(found)))
            while sum(model.asked for model in models) <= i:
                await asyncio.sleep(0.01)
        assert [model.asked for model in models] == [2, 2, 2]
        models[1].go.set()
        while sum(task.done() for task in work) < 2:
            await asyncio.sleep(0.01)
        # Never round-robin: the one that is free gets all.
        assert {await run(found) for _ in range(3)} == {"127.0.0.3"}
        for model in models:
            model.go.set()
        await asyncio.gather(*work)


async def test_what_others_have_queued_at_a_pod_counts() -> None:
    async with pods("127.0.0.2", "127.0.0.3") as (found, _, models):
        models[0].pending = 4
        assert {await run(found) for _ in range(4)} == {"127.0.0.3"}


async def test_places_follow_the_pods_that_are_ready() -> None:
    async with pods("127.0.0.2", "127.0.0.3", limits={"casper": 3}) as (found, names, _):
        assert found.places("casper") == 6
        names.hosts = ["127.0.0.2"]
        await asyncio.sleep(0.2)
        assert found.places("casper") == 3
        names.hosts = []
        await asyncio.sleep(0.2)
        assert found.places("casper") == 0
        with pytest.raises(Unavailable, match="no model server for casper/vase is ready"):
            await run(found)


async def test_a_pod_that_leaves_ends_its_runs_and_gets_no_more() -> None:
    async with pods("127.0.0.2", "127.0.0.3") as (found, names, models):
        models[0].go.clear()
        models[1].pending = 9
        first = asyncio.create_task(run(found))
        while not models[0].asked:
            await asyncio.sleep(0.01)
        names.hosts = ["127.0.0.3"]
        await asyncio.sleep(0.2)
        assert {await run(found) for _ in range(3)} == {"127.0.0.3"}
        models[0].go.set()
        assert await first == "127.0.0.2"


async def test_a_name_service_that_is_away_changes_nothing() -> None:
    async with pods("127.0.0.2") as (found, names, _):
        names.hosts = None
        await asyncio.sleep(0.2)
        assert await run(found) == "127.0.0.2"


async def test_a_pod_that_fails_is_left_alone_for_a_while() -> None:
    async with pods("127.0.0.2") as (found, names, _):
        names.hosts = ["127.0.0.2", "127.0.0.99"]
        await asyncio.sleep(0.2)
        # Both are idle; the dead one is met once at most.
        outcomes = await asyncio.gather(*(run(found) for _ in range(2)), return_exceptions=True)
        assert [type(one) for one in outcomes].count(Unavailable) <= 1
        assert {await run(found) for _ in range(3)} == {"127.0.0.2"}


@pytest.mark.parametrize("address", ["casper", ":8001", "casper:", "casper:0", "casper:99999", "casper:http"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(BadOption, match="write HOST:PORT"):
        TritonPods({"casper": address})


def test_pending_runs_are_read_from_tritons_figures() -> None:
    text = """# TYPE nv_inference_pending_request_count gauge
nv_inference_pending_request_count{model="casper",version="1"} 3
nv_inference_pending_request_count{model="ssr",version="1"} 5
nv_inference_count{model="casper",version="1"} 70
"""
    assert pending_of(text, "casper") == 3 and pending_of(text, "depth") == 0
