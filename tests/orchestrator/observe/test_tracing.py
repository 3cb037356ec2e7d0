"""One trace from the client through the API, the queue and the orchestrator to the stage, whatever happens between."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import toys
from conftest import make_spec

from loadtests.measure.spans import Span
from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.client import Client
from orchestrator.runners.triton import TritonRunner
from orchestrator.triton_server import TritonServer
from services.stage import Request
from tests.model_repository.toy_server import toy_server
from tests.orchestrator.observe.collector import TraceCollector

ROOT = Path(__file__).resolve().parents[3]
TOYS = Path(toys.__file__).parent

SERVER = """
import asyncio, sys, toys
from services.observe import logs, tracing
logs.configure("json", quiet=["dbos"])
with tracing.exporting("server"):
    asyncio.run(toys._main(*sys.argv[1:]))
"""
CLIENT = """
import sys
from conftest import make_spec
from orchestrator.client import Client
from services.observe import tracing
with tracing.exporting("caller"), tracing.span("application"), Client(sys.argv[1]) as client:
    job = client.create_job(make_spec(client, seed=int(sys.argv[2])))
print(job.name)
"""
AIO_CLIENT = """
import asyncio, sys
from orchestrator.client import AsyncClient
from services.observe import tracing
async def main():
    async with AsyncClient(sys.argv[1]) as client:
        assert [job async for job in client.list()] == []
with tracing.exporting("caller"), tracing.span("application"):
    asyncio.run(main())
"""


class Process:
    """An orchestrator on toy stages in a process of its own, whose log lines go to a file."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.log = folder / "log"
        arguments = [str(folder / "store"), f"sqlite:///{folder / 'orchestrator.sqlite'}"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", SERVER, *arguments],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=ROOT,
                env=_environment(environment),
            )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def collector() -> Iterator[TraceCollector]:
    with TraceCollector() as running:
        yield running


def _environment(more: dict[str, str]) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{TOYS}", **more}


def create(address: str, seed: int, environment: dict[str, str]) -> str:
    """A job that a client in a process of its own makes; returns its name."""
    command = [sys.executable, "-c", CLIENT, address, str(seed)]
    done = subprocess.run(command, cwd=ROOT, env=_environment(environment), capture_output=True, text=True, check=True)
    return done.stdout.strip()


def one(spans: list[Span], name: str, **attributes: str | bool) -> Span:
    wanted = {f"omnimatte.{key}": value for key, value in attributes.items()}
    found = [span for span in spans if span.name == name and wanted.items() <= span.attributes.items()]
    assert len(found) == 1, (name, attributes, sorted(span.name for span in spans))
    return found[0]


def chain(spans: list[Span], span: Span) -> list[str]:
    """Names from the root to `span`."""
    by_id = {each.id: each for each in spans}
    names = [span.name]
    while span.parent:
        span = by_id[span.parent]
        names.insert(0, span.name)
    return names


def attempts(spans: list[Span], job: str) -> list[Span]:
    return [span for span in spans if span.name == "attempt" and span.attributes["omnimatte.job"] == job]


def test_one_trace_leads_from_the_client_to_the_stage(collector: TraceCollector, tmp_path: Path) -> None:
    server = Process(tmp_path, collector.environment)
    try:
        name = create(server.address, 1, collector.environment)
        with Client(server.address) as client:
            assert list(client.watch(name))[-1].job.state == pb.Job.SUCCEEDED
        job = name.removeprefix("jobs/")
        spans = collector.wait(lambda spans: len(attempts(spans, job)) == 1)
    finally:
        server.kill()

    [attempt] = attempts(spans, job)
    mine = [span for span in spans if span.trace == attempt.trace]
    call = "omnimatte.v1.Omnimatte/CreateJob"
    work = one(mine, "casper", subject="casper/vase")
    run = next(span for span in mine if span.name == "run" and span.parent == work.id)
    assert chain(mine, run) == ["application", call, call, "attempt", "stage casper", "casper", "run"]
    assert chain(mine, one(mine, "queued")) == ["application", call, call, "attempt", "queued"]
    assert {span.service for span in mine if span.name in ("application", call)} == {"caller", "server"}
    assert attempt.attributes["omnimatte.state"] == "succeeded"
    assert work.attributes["omnimatte.job"] == job
    assert work.attributes["omnimatte.tenant"] == "local"
    assert work.attributes["omnimatte.cached"] is False
    assert not any(span.failed for span in mine)

    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    ended = [line for line in lines if line.get("job") == job and "succeeded" in line["message"]]
    assert [(line["tenant"], line["attempt"], line["trace"]) for line in ended] == [("local", "1", attempt.trace)]


def test_the_asyncio_client_goes_on_with_the_trace_too(collector: TraceCollector, tmp_path: Path) -> None:
    server = Process(tmp_path, collector.environment)
    command = [sys.executable, "-c", AIO_CLIENT, server.address]
    try:
        subprocess.run(command, cwd=ROOT, env=_environment(collector.environment), check=True)
        call = "omnimatte.v1.Omnimatte/ListJobs"
        spans = collector.wait(lambda spans: {"caller", "server"} <= {s.service for s in spans if s.name == call})
    finally:
        server.kill()
    [answer] = [span for span in spans if span.name == call and span.service == "server"]
    assert chain(spans, answer) == ["application", call, call]


def test_a_job_that_fails_says_so_in_its_spans(collector: TraceCollector, tmp_path: Path) -> None:
    server = Process(tmp_path, collector.environment)
    try:
        name = create(server.address, toys.FAILS, collector.environment)
        spans = collector.wait(lambda spans: bool(attempts(spans, name.removeprefix("jobs/"))))
    finally:
        server.kill()
    [attempt] = attempts(spans, name.removeprefix("jobs/"))
    assert attempt.failed == "BadVideo: the clip is too strange; send another."
    assert any(span.name == "casper" and span.failed.startswith("BadVideo") for span in spans)


def test_a_job_goes_on_with_its_trace_after_a_restart(collector: TraceCollector, tmp_path: Path) -> None:
    server = Process(tmp_path, collector.environment)
    name = create(server.address, toys.WAITS_FOR_FILE, collector.environment)
    with Client(server.address) as client:
        for event in client.watch(name):
            if event.progress.subject == "casper/background" and event.progress.state == pb.StageProgress.RUNNING:
                break
    [root] = [span for span in collector.wait(lambda spans: True) if span.name == "application"]
    server.kill()
    (tmp_path / "store" / "go").touch()

    again = Process(tmp_path, collector.environment)
    try:
        job = name.removeprefix("jobs/")
        spans = collector.wait(lambda spans: bool(attempts(spans, job)))
    finally:
        again.kill()
    [attempt] = attempts(spans, job)
    assert attempt.trace == root.trace
    assert attempt.attributes["omnimatte.state"] == "succeeded"
    assert one(spans, "stage ingest", subject="ingest", cached=True).trace == root.trace


def test_without_an_exporter_there_is_no_trace(client: Client, tmp_path: Path) -> None:
    from services.observe import tracing

    assert not tracing.wanted()
    with tracing.span("nothing") as span:
        assert not span.is_recording()
        assert tracing.headers() == {} and tracing.ids() == {}
    assert client.create_job(make_spec(client, seed=1)).name


def test_a_client_without_a_trace_begins_none_that_is_recorded_wrongly(
    collector: TraceCollector, tmp_path: Path
) -> None:
    server = Process(tmp_path, collector.environment)
    try:
        with Client(server.address) as client:
            name = client.create_job(make_spec(client, seed=1)).name
            list(client.watch(name))
        spans = collector.wait(lambda spans: bool(attempts(spans, name.removeprefix("jobs/"))))
    finally:
        server.kill()
    [attempt] = attempts(spans, name.removeprefix("jobs/"))
    assert chain(spans, attempt) == ["omnimatte.v1.Omnimatte/CreateJob", "attempt"]


async def test_a_stage_on_triton_goes_on_with_the_trace_and_logs_whom_it_is_for(
    collector: TraceCollector, tmp_path: Path
) -> None:
    toy = toy_server(tmp_path)
    environment = {**collector.environment, "OMNIMATTE_LOG_FORMAT": "json"}
    server = TritonServer(
        store=toy.store,
        folder=tmp_path / "run",
        ports=toy.ports,
        repository=tmp_path / "models",
        environment=environment,
    )
    server.start()
    runner = TritonRunner(server.grpc_address)
    trace, parent = "ab" * 16, "cd" * 8
    context = {"traceparent": f"00-{trace}-{parent}-01", "job": "j1", "tenant": "studio", "attempt": "2"}
    try:
        plain = await runner.run(Request("toy", {"steps": 1}), on_progress=lambda _: None)
        asked = Request("toy", {"steps": 1}, subject="toy/vase", context=context)
        found = await runner.run(asked, on_progress=lambda _: None)
        asked = Request("toy", {"steps": 2}, subject="toy/cup", context=context)
        await runner.run(asked, on_progress=lambda _: None)
        spans = collector.wait(lambda spans: sum(span.name == "toy" and span.trace == trace for span in spans) == 2)
    finally:
        server.stop()
        await runner.close()

    # The address is that of the request without a trace, so nothing was computed again.
    assert found.cached and found.address == plain.address
    mine = [span for span in spans if span.trace == trace]
    cup = one(mine, "toy", subject="toy/cup")
    assert (cup.service, cup.parent, cup.attributes["omnimatte.job"]) == ("omnimatte-toy", parent, "j1")
    assert sorted(span.name for span in mine if span.parent == cup.id) == ["load", "run"]
    assert one(mine, "toy", subject="toy/vase").attributes["omnimatte.cached"] is True

    lines = [json.loads(line) for line in server.log_path.read_text().splitlines() if line.startswith('{"time"')]
    [line] = [line for line in lines if line["message"].startswith("toy/cup is done")]
    assert (line["job"], line["tenant"], line["attempt"], line["trace"]) == ("j1", "studio", "2", trace)
