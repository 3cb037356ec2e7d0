"""TensorRT engines' keys and cache, and what is said where there is no GPU. No GPU is needed for these tests."""

import threading
import time
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from services.engines.shapes import Shapes, from_metadata
from services.engines.tensorrt.cache import EngineCache, EngineKey, key_of, plan, provider_options
from services.engines.tensorrt.machine import Machine, read_machine
from services.errors import Internal, Unavailable
from tests.services.engines.test_engine import SHIPPED

H100 = Machine("NVIDIA H100 80GB HBM3", "570.124", "9.0", (("tensorrt", "10.9.0"), ("onnxruntime-gpu", "1.32.0")))


@pytest.fixture()
def key() -> EngineKey:
    return key_of(SHIPPED, H100)


def test_an_engine_is_found_again_by_whoever_has_the_same(key: EngineKey, tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    assert cache.find(key) is None
    path = cache.plan(key, lambda: b"engine")
    assert path.read_bytes() == b"engine" and cache.find(key_of(SHIPPED, H100)) == path
    assert EngineCache(tmp_path).plan(key, pytest.fail) == path


@pytest.mark.parametrize(
    "other",
    [
        replace(H100, gpu="NVIDIA L4"),
        replace(H100, driver="580.1"),
        replace(H100, libraries=(("tensorrt", "10.10.0"), ("onnxruntime-gpu", "1.32.0"))),
        replace(H100, capability="8.9"),
    ],
)
def test_another_gpu_driver_or_library_needs_another_engine(key: EngineKey, other: Machine) -> None:
    assert key_of(SHIPPED, other).name != key.name


def test_other_weights_shapes_or_precision_need_another_engine(key: EngineKey) -> None:
    others = [
        replace(key, weights="0" * 64),
        replace(key, half=not key.half),
        replace(key, profile=(("frames", (("least", (1, 3)),)),)),
    ]
    assert len({key.name, *(other.name for other in others)}) == 4


def test_a_damaged_engine_is_built_again(key: EngineKey, tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    path = cache.plan(key, lambda: b"engine")
    path.write_bytes(b"engi")
    assert cache.find(key) is None
    assert cache.plan(key, lambda: b"engine").read_bytes() == b"engine"


def test_a_build_that_fails_leaves_nothing(key: EngineKey, tmp_path: Path) -> None:
    def fails() -> bytes:
        raise Internal("no engine")

    cache = EngineCache(tmp_path)
    with pytest.raises(Internal):
        cache.plan(key, fails)
    assert cache.find(key) is None
    assert cache.plan(key, lambda: b"engine").exists()


def test_two_who_need_the_same_engine_build_it_once(key: EngineKey, tmp_path: Path) -> None:
    built = []

    def slowly() -> bytes:
        built.append(1)
        time.sleep(0.1)
        return b"engine"

    threads = [threading.Thread(target=lambda: EngineCache(tmp_path).plan(key, slowly)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1


def test_onnx_runtime_keeps_its_engines_in_the_keys_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = {"frames": Shapes((1, 3, 14, 14), (1, 3, 518, 924), (8, 3, 1820, 1820))}
    monkeypatch.setattr("services.engines.tensorrt.cache.profile_of", lambda path: profile)
    cache = EngineCache(tmp_path)
    options = provider_options(SHIPPED, cache=cache, machine=H100)
    assert options["trt_engine_cache_path"] == str(cache.folder(key_of(SHIPPED, H100)))
    assert options["trt_profile_min_shapes"] == "frames:1x3x14x14"
    assert options["trt_profile_opt_shapes"] == "frames:1x3x518x924"
    assert options["trt_profile_max_shapes"] == "frames:8x3x1820x1820"


def test_the_machine_is_read_from_what_is_installed() -> None:
    def version(name: str) -> str:
        if name != "tensorrt":
            raise metadata.PackageNotFoundError(name)
        return "10.9.0"

    machine = read_machine(lambda: "NVIDIA L4, 570.1, 8.9\nNVIDIA L4, 570.1, 8.9\n", version)
    assert machine == Machine("NVIDIA L4", "570.1", "8.9", (("tensorrt", "10.9.0"),))


@pytest.mark.parametrize("answer", ["", "No devices were found\n"])
def test_without_a_gpu_it_is_said_that_one_is_needed(answer: str) -> None:
    with pytest.raises(Unavailable, match="needs an NVIDIA GPU"):
        read_machine(lambda: answer)


def test_without_nvidias_programs_it_is_said_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="needs an NVIDIA GPU"):
        plan(SHIPPED, cache=EngineCache(tmp_path))


@pytest.mark.parametrize("content", ["x", "[1]", '{"a": 1}', '{"a": [[1], [2]]}', '{"a": [[2], [1], [3]]}'])
def test_malformed_shapes_are_refused(content: str) -> None:
    with pytest.raises(Internal, match="export it again"):
        from_metadata({"omnimatte.profile": content})


def test_a_file_without_shapes_has_none() -> None:
    assert from_metadata({}) == {}
