"""The command `omnimatte doctor`: on this machine, and on machines where things are missing."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator import cli, doctor
from orchestrator.machine import Gpu, Machine, probe
from services.catalogue.entries import ENTRIES
from services.catalogue.home import WeightsHome
from services.catalogue.state import Found, State
from services.models import COMPACT_FILES, DISTRIBUTIONS

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "services"
H100 = Gpu("NVIDIA H100 80GB HBM3", 81_559 * 2**20, "550.54")
GOOD = Machine(
    processor="a processor",
    cores=16,
    memory=128 * 10**9,
    gpus=(H100,),
    disk_free=10**12,
    triton="/opt/tritonserver",
    triton_problem="",
    packages=dict.fromkeys(DISTRIBUTIONS, "1.0"),
    providers=("CUDAExecutionProvider", "CPUExecutionProvider"),
    tensorrt="10.0",
    torch_gpu=True,
)


def weights(state: State, *lacking: str) -> list[Found]:
    return [Found(entry, Path("weights") / entry.name, state, lacking) for entry in ENTRIES]


def problems(machine: Machine, found: list[Found] | None = None, shipped: Path = SHIPPED) -> dict[str, str]:
    """What each model and profile that is not ready lacks, as text."""
    verdicts = doctor.judge(machine, found or weights(State.VERIFIED), shipped=shipped)
    judged = (*verdicts.models, *verdicts.profiles)
    told = {one.name: "; ".join(f"{each.what} -> {each.fix}" for each in one.problems) for one in judged}
    return {name: text for name, text in told.items() if text}


def test_a_machine_that_has_everything_runs_everything() -> None:
    assert problems(GOOD) == {}
    assert problems(GOOD, weights(State.PRESENT)) == {}


def test_missing_weights_come_with_the_command(tmp_path: Path) -> None:
    told = problems(GOOD, weights(State.MISSING))
    assert "compact" not in told and len(told) == 11 + 2
    assert "casper: wan-1.3b is not ready -> see above" in told["commercial"]
    assert told["sam2: edgetam"] == "edgetam is not here -> get them with `omnimatte weights pull edgetam`"
    assert "`omnimatte weights pull wan2.1-fun-14b-inp`" in told["casper: wan-14b"]
    assert "`omnimatte weights import FILE`" in told["casper: wan-14b"]
    assert "edgetam lacks edgetam.pt" in problems(GOOD, weights(State.INCOMPLETE, "edgetam.pt"))["sam2: edgetam"]


def test_a_card_that_is_missing_or_too_small_is_told() -> None:
    bare = dataclasses.replace(GOOD, gpus=(), torch_gpu=False)
    told = problems(bare)
    assert set(told) == {"casper: cogvideox", "casper: wan-1.3b", "casper: wan-14b", "depth: depthcrafter"} | {
        "production",
        "commercial",
    }
    assert "NVIDIA GPU of 24 GB" in told["casper: wan-1.3b"]
    small = dataclasses.replace(GOOD, gpus=(Gpu("small", 16_376 * 2**20, "1"),))
    assert "the GPU has 17.2 GB" in problems(small)["casper: cogvideox"]
    assert "depth: depthcrafter" not in problems(small)
    enough = dataclasses.replace(GOOD, gpus=(Gpu("A10", 23_028 * 2**20, "1"),))
    assert problems(enough) == {}
    blind = problems(dataclasses.replace(GOOD, torch_gpu=False))
    assert "torch 1.0 does not see the GPU" in blind["casper: cogvideox"]


def test_missing_packages_come_with_the_command() -> None:
    few = {name: "1.0" for name in DISTRIBUTIONS if name not in ("diffusers", "cv2")}
    told = problems(dataclasses.replace(GOOD, packages=few))
    assert told["casper: cogvideox"] == "missing packages: diffusers -> pip install diffusers"
    assert "pip install opencv-python-headless" in told["compact"]
    assert "sam2: sam2.1-large" not in told


def test_compact_needs_its_files_the_model_server_memory_and_disk(tmp_path: Path) -> None:
    poor = dataclasses.replace(GOOD, triton="", triton_problem="install it", memory=10**9, disk_free=10**8)
    told = problems(poor, shipped=tmp_path)["compact"]
    for words in (*COMPACT_FILES, "install it", "1.0 GB of memory", "0.1 GB of free disk"):
        assert words in told
    assert "disk" in problems(poor, weights(State.MISSING))["casper: wan-14b"]


def test_this_machine_is_probed_without_importing_what_is_heavy(tmp_path: Path) -> None:
    heavy = sorted({"torch", "numpy", "cv2", "diffusers", "transformers", "onnxruntime", "tensorrt", "grpc"})
    code = (
        "import sys; from orchestrator import cli; status = cli.main(['doctor', '--json']); "
        f"print([name for name in {heavy} if name in sys.modules], file=sys.stderr); sys.exit(status)"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.stderr.strip() == "[]"
    told = json.loads(answer.stdout)
    compact = told["profiles"]["compact"]
    assert answer.returncode == (0 if compact["ready"] else 5)
    assert "CPUExecutionProvider" in told["machine"]["providers"]
    assert told["machine"]["cores"] >= 1 and told["machine"]["memory"] > 10**8 and told["machine"]["packages"]["torch"]
    assert set(told["weights"]["entries"]) == {entry.name for entry in ENTRIES}


def test_a_machine_without_the_model_server_says_so_and_ends_with_5(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMNIMATTE_TRITON_HOME", str(tmp_path))
    assert cli.main(["doctor", "--home", str(tmp_path / "home")]) == 5
    told = capsys.readouterr().out
    assert "compact: not ready" in told and "nvidia-pytriton==0.7.0" in told
    assert not (tmp_path / "home").exists()


def test_cards_are_read_from_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H100 80GB HBM3, 81559, 550.54'\necho 'broken'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    machine = probe(tmp_path)
    assert machine.gpus == (H100,)
    program.write_text("#!/bin/sh\nexit 9\n")
    assert probe(tmp_path).gpus == ()


def test_the_report_names_what_is_there() -> None:
    found = weights(State.VERIFIED)
    lines = doctor.report(GOOD, found, doctor.judge(GOOD, found, shipped=SHIPPED), WeightsHome.default().path)
    text = "\n".join(lines)
    assert "NVIDIA H100 80GB HBM3, 85.5 GB, driver 550.54" in text
    assert (
        "  edgetam: verified" in text
        and "  casper: cogvideox: ready\n" in text
        and "  production: ready" in text
        and "TensorRT      10.0" in text
    )
