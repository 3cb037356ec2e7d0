"""A fake model server, asked by the orchestrator's own Triton client: it answers, queues, counts and fails like one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from loadtests.fakes.server import FakeTriton
from loadtests.fakes.stage import clip
from loadtests.fakes.tempo import MEASURED, Faults, Tempo, read_tables
from loadtests.measure.triton import between, statistics
from orchestrator.runners.triton import TritonRunner
from services.artifacts import Store
from services.errors import BadInput, BadOption, Unavailable
from services.stage import Progress, Request

TABLES = {"short": {"ingest": (0.3,), "casper": (0.4, 0.6)}, "long": {"ingest": (600.0,)}}


@dataclass(frozen=True)
class Served:
    store: Store
    runner: TritonRunner
    address: str
    metrics: str

    def upload(self, kind: str, number: int) -> str:
        return self.store.upload([clip(kind, number, frames=8)], filename="a.bin").address

    async def figures(self) -> str:
        return str(await asyncio.to_thread(lambda: urllib.request.urlopen(self.metrics).read().decode()))


@contextlib.asynccontextmanager
async def served(
    tmp_path: Path, *, faults: Faults | None = None, instances: int = 1, scale: float = 1.0
) -> AsyncIterator[Served]:
    store = tmp_path / "store"
    tempo = Tempo(TABLES, scale=scale, faults=faults or Faults())
    fake = FakeTriton(str(store), tempo, {"ingest": instances, "casper": instances})
    async with fake.serving("127.0.0.1", port=0, metrics_port=0) as (port, metrics):
        address = f"127.0.0.1:{port}"
        runner = TritonRunner(address, limits={"ingest": 100, "casper": 100})
        try:
            yield Served(Store(str(store)), runner, address, f"http://127.0.0.1:{metrics}/metrics")
        finally:
            await runner.close()


def ignored(_: Progress) -> None:
    pass


async def test_a_run_takes_its_time_and_is_found_afterwards(tmp_path: Path) -> None:
    async with served(tmp_path) as one:
        request = Request("ingest", {"kind": "video"}, {"upload": one.upload("short", 1)})
        made = await one.runner.run(request, on_progress=ignored)
        assert made.seconds >= 0.29
        assert made.gpu is False and made.cached is False
        again = await one.runner.run(request, on_progress=ignored)
        assert (again.address, again.cached) == (made.address, True)
        # What comes after knows what kind of clip it is.
        later = await one.runner.run(Request("casper", {}, {"video": made.address}), on_progress=ignored)
        assert later.meta["kind"] == "short" and later.gpu is True
        assert later.seconds >= 0.39


async def test_what_has_no_instance_queues_and_is_counted(tmp_path: Path) -> None:
    async with served(tmp_path) as one:
        before = await asyncio.to_thread(statistics, [one.address])
        requests = [Request("ingest", {}, {"upload": one.upload("short", number)}) for number in range(3)]
        work = [asyncio.create_task(one.runner.run(request, on_progress=ignored)) for request in requests]
        while 'nv_inference_pending_request_count{model="ingest",version="1"} 2' not in await one.figures():
            await asyncio.sleep(0.01)
        await asyncio.gather(*work)
        times = between(before, await asyncio.to_thread(statistics, [one.address]))["ingest"]
        assert times.requests == 3
        assert times.computed >= 0.85
        # One did not wait, the second for one, the third for two; they did not come quite at once.
        assert times.queued >= 0.6


async def test_progress_is_told_and_a_cancelled_run_frees_its_instance(tmp_path: Path) -> None:
    async with served(tmp_path) as one:
        told: list[Progress] = []
        request = Request("ingest", {}, {"upload": one.upload("long", 1)})
        work = asyncio.create_task(one.runner.run(request, on_progress=told.append))
        while not told:
            await asyncio.sleep(0.01)
        work.cancel()
        await asyncio.wait([work])
        assert (told[0].done, told[0].total) == (1, 600)
        # There is one instance, and the other run would have had it for ten minutes.
        async with asyncio.timeout(60.0):
            await one.runner.run(Request("ingest", {}, {"upload": one.upload("short", 2)}), on_progress=ignored)


async def test_faults_are_those_of_the_tree(tmp_path: Path) -> None:
    async with served(tmp_path, faults=Faults(bad=1.0), scale=0.01) as one:
        with pytest.raises(BadInput, match="load test"):
            await one.runner.run(Request("ingest", {}, {"upload": one.upload("short", 1)}), on_progress=ignored)
    async with served(tmp_path, faults=Faults(unavailable=1.0), scale=0.01) as one:
        request = Request("ingest", {}, {"upload": one.upload("short", 2)})
        with pytest.raises(Unavailable, match="load test"):
            await one.runner.run(request, on_progress=ignored)
        await one.runner.run(request, on_progress=ignored)


async def test_an_unknown_model_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path) as one:
        with pytest.raises(BadOption, match="depth"):
            await one.runner.run(Request("depth"), on_progress=ignored)


async def test_it_can_be_made_slow(tmp_path: Path) -> None:
    async with served(tmp_path) as one:
        door = one.metrics.replace("/metrics", "/trouble")

        def put(data: bytes) -> None:
            urllib.request.urlopen(urllib.request.Request(door, data=data, method="PUT")).close()

        await asyncio.to_thread(put, json.dumps({"slow": 3.0}).encode())
        slow = await one.runner.run(Request("ingest", {}, {"upload": one.upload("short", 1)}), on_progress=ignored)
        assert slow.seconds >= 0.85
        with pytest.raises(urllib.error.HTTPError, match="400"):
            await asyncio.to_thread(put, b'{"slow": "very"}')


def shares(values: Sequence[str]) -> dict[str, float]:
    return {value: values.count(value) / len(values) for value in set(values)}


def test_times_and_faults_follow_their_distributions() -> None:
    tempo = Tempo({"short": {"casper": tuple(float(i) for i in range(11))}}, faults=Faults(unavailable=0.2, bad=0.1))
    seconds = [tempo.seconds("casper", "short", str(i)) for i in range(4000)]
    assert sum(seconds) / len(seconds) == pytest.approx(5.0, abs=0.3)
    assert min(seconds) >= 0 and max(seconds) <= 10
    found = shares([tempo.fails(str(i)) for i in range(4000)])
    assert found["bad"] == pytest.approx(0.1, abs=0.03) and found["unavailable"] == pytest.approx(0.2, abs=0.03)
    assert tempo.mean("casper", "short") == pytest.approx(5.0)


def test_the_shipped_times_can_be_read(tmp_path: Path) -> None:
    assert all(stage for stages in read_tables(MEASURED).values() for stage in stages)
    with pytest.raises(BadOption, match="no distributions"):
        read_tables(tmp_path / "none.json")
