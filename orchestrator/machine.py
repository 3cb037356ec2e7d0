"""What this machine has: processor, memory, graphics cards, disk, packages, engines. Measures only, judges nothing.

Heavy libraries are never imported here: they are looked up, or asked in a short process of their own.
Must not know: profiles, and what they need.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator import triton_runtime
from services.errors import OmnimatteError
from services.models import DISTRIBUTIONS

_SECONDS = 60
_ASK = """
import importlib, json, sys
def ask(module, question):
    try:
        return question(importlib.import_module(module))
    except Exception as error:
        return {"problem": f"{type(error).__name__}: {error}"}
questions = {
    "onnxruntime": lambda module: module.get_available_providers(),
    "tensorrt": lambda module: module.__version__,
    "tensorrt_rtx": lambda module: module.__version__,
    "torch": lambda module: module.cuda.is_available(),
}
print(json.dumps({name: ask(name, questions[name]) for name in sys.argv[1:]}))
"""


@dataclass(frozen=True)
class Gpu:
    name: str
    memory: int
    """Bytes."""
    driver: str


@dataclass(frozen=True)
class Machine:
    """What was found."""

    processor: str
    cores: int
    """Those that this process may use."""
    memory: int
    """Bytes that it may use."""
    gpus: tuple[Gpu, ...]
    disk_free: int
    """Bytes, where the weights are kept."""
    triton: str
    """Folder of the model server; "" if it cannot be used."""
    triton_problem: str
    packages: dict[str, str]
    """Version of every module that is there ("?" where none is known)."""
    providers: tuple[str, ...]
    """ONNX Runtime's, best first."""
    tensorrt: str
    """Version of TensorRT; "" if it cannot be imported."""
    torch_gpu: bool
    """Whether torch can use a graphics card."""


def probe(weights: Path) -> Machine:
    """Look at this machine; takes seconds. weights: the folder that weights are kept in."""
    packages = _packages(DISTRIBUTIONS)
    gpus = _gpus()
    asked = ["onnxruntime"] if "onnxruntime" in packages else []
    asked += [name for name in ("tensorrt", "tensorrt_rtx") if importlib.util.find_spec(name)]
    asked += ["torch"] if gpus and "torch" in packages else []
    answers = _ask(asked)
    providers = answers.get("onnxruntime")
    versions = [answers[name] for name in ("tensorrt", "tensorrt_rtx") if isinstance(answers.get(name), str)]
    triton, problem = _triton()
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory=_memory(),
        gpus=gpus,
        disk_free=_disk_free(weights),
        triton=triton,
        triton_problem=problem,
        packages=packages,
        providers=tuple(providers) if isinstance(providers, list) else (),
        tensorrt=versions[0] if versions else "",
        torch_gpu=answers.get("torch") is True,
    )


def _packages(modules: Iterable[str]) -> dict[str, str]:
    found = {}
    for module in modules:
        try:
            if importlib.util.find_spec(module) is None:
                continue
        except (ImportError, ValueError):
            continue
        try:
            found[module] = importlib.metadata.version(DISTRIBUTIONS[module])
        except importlib.metadata.PackageNotFoundError:
            found[module] = "?"
    return found


def _ask(modules: list[str]) -> dict[str, Any]:
    """Import the modules in a process of their own; {} if it dies or takes too long."""
    if not modules:
        return {}
    try:
        answer = subprocess.run(
            [sys.executable, "-c", _ASK, *modules], capture_output=True, text=True, timeout=_SECONDS, check=True
        )
        return dict(json.loads(answer.stdout.splitlines()[-1]))
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return {}


def _gpus() -> tuple[Gpu, ...]:
    """NVIDIA's cards, as nvidia-smi lists them."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    query = ["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run([program, *query], capture_output=True, text=True, timeout=_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    cards = []
    for line in answer.stdout.splitlines():
        name, _, rest = line.partition(",")
        mebibytes, _, driver = rest.partition(",")
        if mebibytes.strip().isdigit():
            cards.append(Gpu(name.strip(), int(mebibytes) * 2**20, driver.strip()))
    return tuple(cards)


def _triton() -> tuple[str, str]:
    """The model server's folder and "", or "" and what is missing."""
    try:
        triton_runtime.find_libpython()
        return str(triton_runtime.find_triton()), ""
    except OmnimatteError as error:
        return "", error.message


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def _memory() -> int:
    """Bytes of memory: the machine's, or a container's share of it."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(limit).read_text("ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            return min(total, int(text))
    return total


def _disk_free(folder: Path) -> int:
    there = next(path for path in (folder, *folder.parents) if path.is_dir())
    return shutil.disk_usage(there).free
