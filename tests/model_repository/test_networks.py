"""Networks as models of the real Triton: the stage calls its own through the server, and requests batch together."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tritonclient import grpc

from orchestrator import triton_runtime
from orchestrator.runners.triton import TritonRunner
from orchestrator.triton_server import Ports, TritonServer
from services.artifacts import Store
from services.engines import Engine
from services.engines.repository import config
from services.engines.signature import signature
from services.errors import BadOption, Unavailable
from services.ssr.stage import WEIGHTS, Ssr
from services.stage import Progress, execute
from tests.services.ssr.test_stage import make_scene, request_for

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
QUEUE = "max_queue_delay_microseconds: "


def repository(folder: Path) -> Path:
    """The stage `ssr` as it is, and its network; Python instead of the backend that only NVIDIA's container has."""
    models = folder / "models"
    shutil.copytree(ROOT / "model_repository" / "ssr", models / "ssr")
    version = models / "network-ssr" / "1"
    version.mkdir(parents=True)
    text = config("ssr", signature(WEIGHTS), backend="onnxruntime")
    text = text.replace('"onnxruntime"', '"python"').replace("model.onnx", "model.py")
    # Two jobs on a busy machine must meet.
    (version.parent / "config.pbtxt").write_text(text.replace(f"{QUEUE}2000", f"{QUEUE}300000"))
    shutil.copy(WEIGHTS, version / "model.onnx")
    shutil.copy(HERE / "network_model.py", version / "model.py")
    return models


def made(folder: Path, *models: str, **environment: str) -> TritonServer:
    try:
        triton_runtime.find_triton()
    except Unavailable as error:
        pytest.skip(str(error))
    return TritonServer(
        store=str(folder / "store"),
        folder=folder / "run",
        ports=Ports.free(),
        repository=repository(folder),
        models=models,
        environment=environment,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("triton")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[TritonServer]:
    server = made(folder, "ssr", "network-ssr", OMNIMATTE_NETWORKS="triton")
    server.start()
    try:
        yield server
    finally:
        server.stop()


def batches(folder: Path) -> list[str]:
    path = folder / "models" / "network-ssr" / "1" / "batches"
    return path.read_text().splitlines() if path.exists() else []


def pixels(store: Store, address: str) -> NDArray[np.float16]:
    return np.asarray(store.get(address).array("frames")[:])


def ignore(_: Progress) -> None:
    pass


async def test_a_stage_gets_the_same_pixels_through_the_server(
    server: TritonServer, folder: Path, tmp_path: Path
) -> None:
    scene, here, there = make_scene(2, 66, 90), Store(str(tmp_path)), Store(server.store)
    runner = TritonRunner(server.grpc_address, log=server.log_path)
    before = len(batches(folder))
    found = await runner.run(request_for(there, scene), on_progress=ignore)
    await runner.close()
    expected = execute(Ssr(), request_for(here, scene), here)
    assert batches(folder)[before:] == ["[1]", "[1]"], "one request for each frame"
    assert found.address == expected.address and not found.cached
    assert np.array_equal(pixels(there, found.address), pixels(here, expected.address))


async def test_requests_of_two_jobs_batch_together(server: TritonServer, folder: Path, tmp_path: Path) -> None:
    scenes = [make_scene(3, 64, 96), make_scene(4, 64, 96)]
    here, there = Store(str(tmp_path)), Store(server.store)
    before = len(batches(folder))
    runner = TritonRunner(server.grpc_address, limits={"ssr": 2}, log=server.log_path)
    found = await asyncio.gather(*(runner.run(request_for(there, scene), on_progress=ignore) for scene in scenes))
    await runner.close()
    assert "[1, 1]" in batches(folder)[before:]
    for result, scene in zip(found, scenes, strict=True):
        expected = pixels(here, execute(Ssr(), request_for(here, scene), here).address)
        assert np.abs(pixels(there, result.address).astype(np.float32) - expected).max() < 1e-3


def test_a_network_is_called_with_plain_tensors(server: TritonServer) -> None:
    """As perf_analyzer does; two sizes through one model, a batch through the other."""
    client = grpc.InferenceServerClient(server.grpc_address)
    random = np.random.default_rng(0)
    for shape in ((1, 17, 32, 48), (3, 17, 40, 24)):
        guide = random.random(shape, np.float32)
        tensor = grpc.InferInput("guide", list(shape), "FP32")
        tensor.set_data_from_numpy(guide)
        answer = client.infer("network-ssr", [tensor]).as_numpy("result")
        assert np.array_equal(answer, Engine(WEIGHTS)(guide))
    client.close()


def test_a_model_says_what_it_takes(server: TritonServer) -> None:
    client = grpc.InferenceServerClient(server.grpc_address)
    found = client.get_model_config("network-ssr").config
    client.close()
    assert found.max_batch_size == 4 and found.HasField("dynamic_batching")
    assert [(part.name, list(part.dims)) for part in found.input] == [("guide", [17, -1, -1])]


async def test_a_network_that_is_not_served_is_named(tmp_path: Path) -> None:
    server = made(tmp_path, "ssr", OMNIMATTE_NETWORKS="triton")
    server.start()
    try:
        runner = TritonRunner(server.grpc_address, log=server.log_path)
        with pytest.raises(Unavailable, match=r"network-ssr.*omnimatte engines build"):
            await runner.run(request_for(Store(server.store), make_scene(1, 64, 64)), on_progress=ignore)
        await runner.close()
    finally:
        server.stop()


def test_an_unknown_place_for_networks_is_refused(tmp_path: Path) -> None:
    server = made(tmp_path, "ssr", OMNIMATTE_NETWORKS="moon")
    with pytest.raises((Unavailable, BadOption), match="OMNIMATTE_NETWORKS is 'moon'"):
        server.start()
