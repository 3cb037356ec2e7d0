"""TensorRT engines: built once per network and machine, kept by what they depend on.

An engine only runs on the GPU model, driver and libraries that it was built with, so all of these, the network's digest
and the shapes it was built for make its key. Two ways to one: through ONNX Runtime's TensorRT provider, which keeps its
engines in the key's folder, or as a plan for Triton's TensorRT backend (`plan`).

    OMNIMATTE_ENGINES   folder of the engines; by default ~/.cache/omnimatte/engines

Must not know: any network. TensorRT itself is imported only where a plan is built.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from services.engines.shapes import Profile
from services.engines.signature import signature
from services.engines.tensorrt.machine import Machine, read_machine
from services.errors import Unavailable
from services.weights import file_digest

ENGINES_VARIABLE = "OMNIMATTE_ENGINES"
_PLAN, _FACTS = "engine.plan", "engine.json"


@dataclass(frozen=True)
class EngineKey:
    """All that an engine depends on. weights: digest of the ONNX file. half: whether it computes in 16 bits."""

    machine: Machine
    weights: str
    profile: tuple[tuple[str, Any], ...]
    half: bool

    @property
    def name(self) -> str:
        """64 hex digits."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def key_of(path: Path, machine: Machine, *, half: bool = True) -> EngineKey:
    """The key of the network at `path` on `machine`."""
    shapes = tuple(sorted((name, asdict(part)) for name, part in profile_of(path).items()))
    return EngineKey(machine, file_digest(path), tuple((name, tuple(part.items())) for name, part in shapes), half)


class EngineCache:
    """Engines in a folder, one subfolder per key."""

    def __init__(self, folder: Path | None = None) -> None:
        default = os.environ.get(ENGINES_VARIABLE, "") or "~/.cache/omnimatte/engines"
        self._folder = (folder or Path(default)).expanduser()

    def exports(self) -> Path:
        """Folder of the ONNX files that were exported on this machine, made if it is not there."""
        place = self._folder / "onnx"
        place.mkdir(parents=True, exist_ok=True)
        return place

    def folder(self, key: EngineKey) -> Path:
        """The key's own folder, made if it is not there; what it stands for is written beside the engine."""
        place = self._folder / key.name
        place.mkdir(parents=True, exist_ok=True)
        return place

    def find(self, key: EngineKey) -> Path | None:
        """The key's plan, if it is there and whole."""
        place = self._folder / key.name
        try:
            facts = json.loads((place / _FACTS).read_text(encoding="utf-8"))
            plan = place / _PLAN
            sound = hashlib.sha256(plan.read_bytes()).hexdigest() == facts["digest"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return plan if sound else None

    def plan(self, key: EngineKey, build: Callable[[], bytes]) -> Path:
        """The key's plan, built if need be; whoever asks meanwhile waits, and does not build it again."""
        found = self.find(key)
        if found is not None:
            return found
        place = self.folder(key)
        with _locked(place / "lock"):
            found = self.find(key)
            if found is not None:
                return found
            content = build()
            _put(place / _PLAN, content)
            facts = {"digest": hashlib.sha256(content).hexdigest(), "key": asdict(key)}
            # Last: without it the plan does not count.
            _put(place / _FACTS, json.dumps(facts, indent=1).encode())
        return place / _PLAN


def provider_options(path: Path, *, cache: EngineCache | None = None, machine: Machine | None = None) -> dict[str, Any]:
    """Options of ONNX Runtime's TensorRT provider for the network at `path`, with the engines in the key's folder.

    Raises Unavailable if this machine has no GPU.
    """
    key = key_of(path, machine or read_machine())
    options: dict[str, Any] = {
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str((cache or EngineCache()).folder(key)),
        "trt_timing_cache_enable": True,
        "trt_fp16_enable": key.half,
    }
    profile = profile_of(path)
    for option, which in (("min", "least"), ("opt", "usual"), ("max", "most")):
        shapes = [f"{name}:{'x'.join(map(str, getattr(part, which)))}" for name, part in profile.items()]
        if shapes:
            options[f"trt_profile_{option}_shapes"] = ",".join(shapes)
    return options


def plan(path: Path, *, cache: EngineCache | None = None, half: bool = True) -> Path:
    """The plan of the network at `path` for this machine's GPU, from the cache or built now (minutes).

    Raises Unavailable without a GPU or without TensorRT, Internal if TensorRT does not take the graph.
    """
    key = key_of(path, read_machine(), half=half)

    def build() -> bytes:
        from services.engines.tensorrt import builder

        try:
            tensorrt = import_module("tensorrt")
        except ImportError as error:
            raise Unavailable(
                "TensorRT is not installed; use the GPU image, or install the package tensorrt of NVIDIA's index."
            ) from error
        return builder.build_plan(tensorrt, path, profile_of(path), half=half)

    return (cache or EngineCache()).plan(key, build)


def profile_of(path: Path) -> Profile:
    """The shapes that the network at `path` was exported for."""
    return signature(path).profile


def _put(path: Path, content: bytes) -> None:
    fresh = path.with_name(f"{path.name}.{os.getpid()}.part")
    fresh.write_bytes(content)
    fresh.replace(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
