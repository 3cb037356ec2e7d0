"""Both clients against a real server over a line that breaks."""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest
import toys
from conftest import Background, make_spec

sys.path.insert(0, str(Path(__file__).parent))

from proxy import Proxy

from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.api import omnimatte_pb2_grpc
from orchestrator.client import AsyncClient, Client, Retry, calls, files
from orchestrator.file_settings import Files
from services.artifacts import Store
from services.errors import AlreadyExists, BadInput, NotFound, OmnimatteError, Unavailable

QUICK = Retry(first=0.05, longest=0.2)
LARGE = bytes(range(256)) * 80_000  # 20 MB


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Background]:
    with Background(tmp_path_factory.mktemp("clients"), files=Files(port=0), max_upload_bytes=10**8) as server:
        yield server


@pytest.fixture
def large(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / "large.mp4"
    path.write_bytes(LARGE + request.node.name.encode())
    return path


def test_a_large_file_arrives_over_a_line_that_breaks_again_and_again(running: Background, large: Path) -> None:
    with (
        Proxy(running.server.address, cut_after=[9_000_000, 10_000_000, 1_000]) as proxy,
        Client(proxy.address, retry=QUICK) as client,
    ):
        sent: list[int] = []
        file = client.upload(large, on_sent=sent.append)
        assert proxy.connections >= 3
    assert file == {"digest": hashlib.sha256(large.read_bytes()).hexdigest(), "filename": "large.mp4"}
    assert Store(running.store).get(file["digest"]).read("data") == large.read_bytes()
    # What had arrived was not sent again.
    assert sum(b - a for a, b in pairwise(sent) if b > a) < 1.9 * len(LARGE)
    with Client(running.server.address) as client:
        assert client.upload(large) == file


def test_a_program_that_starts_again_goes_on_with_its_upload(running: Background, large: Path) -> None:
    with (
        Proxy(running.server.address, cut_after=[12_000_000]) as proxy,
        Client(proxy.address, retry=Retry(attempts=1)) as client,
        pytest.raises(Unavailable),
    ):
        client.upload(large)
    sent: list[int] = []
    start = calls.start_upload("large.mp4", large.stat().st_size, files.digest_of(large))
    with Client(running.server.address) as again:
        # What the server has of the broken stream, it keeps in a moment; how much that is, the network decides.
        deadline = time.monotonic() + 20
        while not (kept := again._call(start).received_bytes):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        again.upload(large, on_sent=sent.append)
    assert sent[0] > kept


def test_a_call_whose_answer_was_lost_makes_one_job(running: Background) -> None:
    with Client(running.server.address) as direct:
        spec = make_spec(direct, seed=71)
        before = len(list(direct.list()))
        # Enough attempts that their random pauses cannot all be over before the server is back.
        persistent = Retry(attempts=40, first=0.1, longest=0.2)
        with Proxy(running.server.address) as proxy, Client(proxy.address, retry=persistent) as client:
            proxy.refusing = True
            threading.Timer(0.3, lambda: setattr(proxy, "refusing", False)).start()
            job = client.create_job(spec)
            proxy.cut()
            assert client.get(job.name).name == job.name
        assert len(list(direct.list())) == before + 1


def test_events_go_on_after_a_cut(running: Background) -> None:
    with Client(running.server.address) as direct:
        job = direct.create_job(make_spec(direct, seed=toys.WAITS_FOR_FILE))
    seen = []
    with Proxy(running.server.address) as proxy, Client(proxy.address, retry=QUICK) as client:
        for event in client.watch(job.name):
            seen.append(event.sequence)
            if len(seen) == 10:
                proxy.cut()
            if len(seen) == 20:
                running.go()
    assert seen == sorted(set(seen)) and len(seen) > 20


class Flaky(omnimatte_pb2_grpc.OmnimatteServicer):
    """Does what it is asked, and loses the first answer."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def _once(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.calls.append(request)
        if len(self.calls) == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        context.abort(grpc.StatusCode.NOT_FOUND, "there is no such job")

    DeleteJob = _once

    def CreateJob(self, request: Any, context: grpc.ServicerContext) -> pb.Job:
        self.calls.append(request)
        if len(self.calls) == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        return pb.Job(name="jobs/1")

    def Upload(self, requests: Any, context: grpc.ServicerContext) -> pb.UploadResponse:
        self.calls.append([one.chunk for one in requests if one.chunk])
        if len(self.calls) == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        return pb.UploadResponse(file=pb.File(digest="0" * 64))

    def GetJob(self, request: Any, context: grpc.ServicerContext) -> pb.Job:
        self.calls.append(request)
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")
        raise AssertionError


@pytest.fixture
def flaky() -> Iterator[tuple[Flaky, str]]:
    servicer = Flaky()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    omnimatte_pb2_grpc.add_OmnimatteServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"127.0.0.1:{port}"
    server.stop(None)


SPEC = {"source": {"digest": "0" * 64}, "objects": [{"label": "vase", "mask": {"digest": "0" * 64}}]}


def test_what_is_sent_again_is_the_same_wish(flaky: tuple[Flaky, str]) -> None:
    servicer, address = flaky
    with Client(address, retry=QUICK) as client:
        assert client.create_job(SPEC).name == "jobs/1"
    first, second = servicer.calls
    assert first.request_id == second.request_id != ""


def test_a_list_of_bytes_is_sent_again_and_an_iterator_is_not(flaky: tuple[Flaky, str]) -> None:
    servicer, address = flaky
    with Client(address, retry=QUICK) as client:
        assert client.upload([b"one", b"two"])["digest"] == "0" * 64
        assert servicer.calls == [[b"one", b"two"]] * 2
        servicer.calls.clear()
        with pytest.raises(Unavailable):
            client.upload(iter([b"one", b"two"]))


def test_what_the_first_call_has_deleted_is_deleted(flaky: tuple[Flaky, str]) -> None:
    servicer, address = flaky
    with Client(address, retry=QUICK) as client:
        client.delete("jobs/x")
        assert len(servicer.calls) == 2
        with pytest.raises(NotFound):
            client.delete("jobs/x")


def test_a_mistake_is_sent_once(flaky: tuple[Flaky, str]) -> None:
    servicer, address = flaky
    with Client(address, retry=QUICK) as client, pytest.raises(OmnimatteError):
        client.get("jobs/x")
    assert len(servicer.calls) == 1


def test_a_server_that_is_not_there_is_tried_for_a_while() -> None:
    begun = time.monotonic()
    with Client("127.0.0.1:1", retry=Retry(attempts=3, first=0.01)) as client, pytest.raises(Unavailable):
        client.get("jobs/x")
    assert time.monotonic() - begun < 20


def test_many_jobs_are_queued_in_few_calls(running: Background) -> None:
    with Client(running.server.address) as client:
        spec = make_spec(client)
        specs = [(f"many-{i}", {**spec, "options": {"seed": 1000 + i}}) for i in range(5)]
        bad = ("many-bad", {**spec, "source": {"digest": "1" * 64}})
        outcomes = list(client.create_jobs([*specs, bad, ("many-0", specs[1][1])]))
        assert all(isinstance(outcome, pb.Job) for outcome in outcomes[:5])
        assert isinstance(outcomes[5], NotFound) and isinstance(outcomes[6], AlreadyExists)
        again = list(client.create_jobs(specs))
        assert [one.name for one in again] == [one.name for one in outcomes[:5]]  # type: ignore[union-attr]
        for outcome in outcomes[:5]:
            list(client.watch(outcome.name))  # type: ignore[union-attr]


async def test_the_asyncio_client_does_all_that_the_other_does(
    running: Background, tmp_path: Path, large: Path
) -> None:
    box = {"box": [0, 0, 4, 4], "frame": 1}
    async with AsyncClient(running.server.address, retry=QUICK) as client:
        video = await client.upload([b"video"], filename="clip.mp4")
        mask = await client.upload([b"vase"])
        spec = {"source": video, "objects": [{"label": "vase", "mask": mask}], "options": {"seed": 5}}
        estimate = await client.estimate(spec)
        assert estimate.stages
        prompted = {"source": video, "objects": [{"label": "vase", "prompts": [box]}]}
        assert (await client.preview_masks(prompted, 1))["vase"].png == b"vase@1"
        job = await client.create_job(spec, request_id="async")
        events = [event async for event in client.watch(job.name)]
        assert events[-1].job.state == pb.Job.SUCCEEDED
        got = await client.get(job.name, fields=["state"])
        assert got == pb.Job(state=pb.Job.SUCCEEDED)
        assert job.name in [one.name async for one in client.list(states=[pb.Job.SUCCEEDED])]
        urls = await client.sign_urls(job.name, paths=["index.html"], ttl=60)
        assert list(urls) == ["index.html"]
        await client.download(job.name, tmp_path / "out")
        assert (tmp_path / "out/layers/vase/00000.png").read_bytes() == b"vase" * 1000
        waits = await client.create_job({**spec, "options": {"seed": toys.WAITS}})
        await client.cancel(waits.name)
        assert [event async for event in client.watch(waits.name)][-1].job.state == pb.Job.CANCELLED
        await client.delete(waits.name)
        with pytest.raises(NotFound):
            await client.get(waits.name)
        outcomes = [one async for one in client.create_jobs([("async", spec)])]
        assert [one.name for one in outcomes] == [job.name]  # type: ignore[union-attr]
        with pytest.raises(BadInput):
            await client.upload([b""])
    with Proxy(running.server.address, cut_after=[9_000_000, 4_000_000]) as proxy:
        async with AsyncClient(proxy.address, retry=QUICK) as client:
            sent: list[int] = []
            file = await client.upload(large, on_sent=sent.append)
            assert file["digest"] == hashlib.sha256(large.read_bytes()).hexdigest()
            assert file == await client.upload(str(large))


def test_the_same_clip_estimated_and_previewed_by_the_blocking_client(running: Background) -> None:
    with Client(running.server.address) as client:
        spec = make_spec(client, seed=99)
        assert client.estimate(spec).processor_time
        prompted = {**spec, "objects": [{"label": "cup", "prompts": [{"box": [0, 0, 4, 4]}]}]}
        assert client.preview_masks(prompted, 0)["cup"].coverage == 0.5
        job = client.create_job(spec)
        list(client.watch(job.name))
        assert set(client.sign_urls(job.name)) == {file.path for file in client.get(job.name).result.files}
        assert next(client.list(page_size=1, fields=["name"])) == pb.Job(name=job.name)
