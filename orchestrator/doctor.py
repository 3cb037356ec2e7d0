"""The command `omnimatte doctor`: what this machine can run, what is missing for the rest, and what fixes it.

Must not know: how the machine is measured (`orchestrator.machine`), or how weights are got.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import services
from orchestrator.machine import Machine, probe
from orchestrator.weights_cli import weights_home
from services.catalogue.entries import ENTRIES
from services.catalogue.state import Found, State, look
from services.models import (
    COMPACT_FILES,
    COMPACT_MEMORY,
    COMPACT_PACKAGES,
    DISTRIBUTIONS,
    STAGE_MODELS,
    StageModel,
)
from services.profiles import PROFILES, Profile

_COMPACT_DISK = 10**9
_CANNOT_RUN = 5
# A card of 24 GB reports a little less than that.
_TOLERANCE = 0.97


@dataclass(frozen=True)
class Problem:
    """One thing that is missing."""

    what: str
    fix: str
    """The command that fixes it, or what to do."""


@dataclass(frozen=True)
class Verdict:
    """Whether a model or a profile runs on this machine."""

    name: str
    problems: tuple[Problem, ...]

    @property
    def ready(self) -> bool:
        return not self.problems


@dataclass(frozen=True)
class Verdicts:
    """On every published model, and on every profile; the first profile is the compact one."""

    models: tuple[Verdict, ...]
    profiles: tuple[Verdict, ...]


def judge(machine: Machine, found: Iterable[Found], *, shipped: Path) -> Verdicts:
    """What `machine` can run with the weights in `found`.

    shipped: the folder that holds the compact weights.
    """
    here = {one.entry.name: one for one in found}
    models = tuple(Verdict(model.title, tuple(_problems(model, machine, here))) for model in STAGE_MODELS)
    unready = {verdict.name for verdict in models if not verdict.ready}
    # Every profile stands on the compact one: ingest, plates, super-resolution and the solver are the same in all.
    common = tuple(_compact_problems(machine, shipped))
    profiles = (Verdict(one.name, (*common, *_lacking(one, unready))) for one in PROFILES.values())
    return Verdicts(models, tuple(profiles))


def _lacking(profile: Profile, unready: Collection[str]) -> Iterable[Problem]:
    for stage, name in profile.models.items():
        title = f"{stage}: {name}"
        if title in unready:
            yield Problem(f"{title} is not ready", f"see above, or choose another with --model {stage}=NAME")


def run(parsed: argparse.Namespace) -> int:
    home = weights_home(parsed)
    machine = probe(home.path)
    found = [look(entry, home) for entry in ENTRIES]
    verdicts = judge(machine, found, shipped=Path(services.__path__[0]))
    if parsed.json:
        print(json.dumps(_as_json(machine, found, verdicts, home.path), indent=2))
    else:
        print("\n".join(report(machine, found, verdicts, home.path)))
    return 0 if verdicts.profiles[0].ready else _CANNOT_RUN


def report(machine: Machine, found: Iterable[Found], verdicts: Verdicts, folder: Path) -> list[str]:
    """The findings as lines for people."""
    lines = [
        f"processor     {machine.processor}, {machine.cores} cores",
        f"memory        {machine.memory / 1e9:.1f} GB",
    ]
    for gpu in machine.gpus:
        lines.append(f"GPU           {gpu.name}, {gpu.memory / 1e9:.1f} GB, driver {gpu.driver}")
    if not machine.gpus:
        lines.append("GPU           none (nvidia-smi lists no card)")
    lines += [
        f"disk          {machine.disk_free / 1e9:.1f} GB free for {folder}",
        f"Triton        {machine.triton or machine.triton_problem}",
        f"ONNX Runtime  {', '.join(machine.providers) or 'not installed'}",
        f"TensorRT      {machine.tensorrt or 'not installed'}",
    ]
    lines += ["", "weights"]
    there = [one for one in found if one.state != State.MISSING]
    lines += [f"  {one.entry.name}: {one.state}" for one in there]
    if not there:
        lines.append("  none but the compact ones, which come with the package")
    for title, judged in (("models", verdicts.models), ("profiles", verdicts.profiles)):
        lines += ["", title]
        for verdict in judged:
            lines.append(f"  {verdict.name}: {'ready' if verdict.ready else 'not ready'}")
            lines += [f"    {problem.what}: {problem.fix}" for problem in verdict.problems]
    return lines


def _compact_problems(machine: Machine, shipped: Path) -> Iterable[Problem]:
    yield from _package_problems(COMPACT_PACKAGES, machine)
    for file in COMPACT_FILES:
        if not (shipped / file).is_file():
            yield Problem(f"the package's own {file} is missing", "install the package again, with its weights")
    if not machine.triton:
        yield Problem("the model server is missing", machine.triton_problem)
    if machine.memory < COMPACT_MEMORY:
        yield Problem(f"{machine.memory / 1e9:.1f} GB of memory", f"give it {COMPACT_MEMORY / 1e9:.0f} GB")
    if machine.disk_free < _COMPACT_DISK:
        yield Problem(f"{machine.disk_free / 1e9:.1f} GB of free disk", "free some space, or choose another --home")


def _problems(model: StageModel, machine: Machine, here: Mapping[str, Found]) -> Iterable[Problem]:
    yield from _gpu_problems(model, machine)
    yield from _package_problems(model.packages, machine)
    for name in model.entries:
        found = here[name]
        if not found.usable:
            state = f"lacks {', '.join(found.lacking)}" if found.state == State.INCOMPLETE else "is not here"
            yield Problem(f"{name} {state}", found.entry.remedy)
            size = found.entry.total
            if size > machine.disk_free:
                yield Problem(
                    f"{name} needs {size / 1e9:.1f} GB of disk, {machine.disk_free / 1e9:.1f} GB are free",
                    "set OMNIMATTE_WEIGHTS to a folder on a larger disk",
                )


def _gpu_problems(model: StageModel, machine: Machine) -> Iterable[Problem]:
    if not model.gpu_gb:
        return
    largest = max((gpu.memory for gpu in machine.gpus), default=0)
    if not machine.gpus:
        yield Problem("no GPU", f"use a machine with an NVIDIA GPU of {model.gpu_gb} GB or more")
    elif largest < model.gpu_gb * 10**9 * _TOLERANCE:
        yield Problem(
            f"the GPU has {largest / 1e9:.1f} GB", f"use a machine with an NVIDIA GPU of {model.gpu_gb} GB or more"
        )
    if machine.gpus and "torch" in machine.packages and not machine.torch_gpu:
        yield Problem(
            f"torch {machine.packages['torch']} does not see the GPU",
            "install a torch with CUDA that fits the driver",
        )


def _package_problems(modules: Iterable[str], machine: Machine) -> Iterable[Problem]:
    missing = [DISTRIBUTIONS[module] for module in modules if module not in machine.packages]
    if missing:
        yield Problem(f"missing packages: {', '.join(missing)}", f"pip install {' '.join(missing)}")


def _as_json(machine: Machine, found: Iterable[Found], verdicts: Verdicts, folder: Path) -> dict[str, object]:
    return {
        "machine": asdict(machine),
        "weights": {
            "folder": str(folder),
            "entries": {one.entry.name: {"state": str(one.state), "lacking": list(one.lacking)} for one in found},
        },
        "models": {verdict.name: _plain(verdict) for verdict in verdicts.models},
        "profiles": {verdict.name: _plain(verdict) for verdict in verdicts.profiles},
    }


def _plain(verdict: Verdict) -> dict[str, object]:
    return {"ready": verdict.ready, "problems": [asdict(problem) for problem in verdict.problems]}
