"""The command `omnimatte engines`, as a user calls it."""

from pathlib import Path

import pytest

from orchestrator import cli
from services.errors import BadOption, Unavailable


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNIMATTE_ENGINES", str(tmp_path / "engines"))
    monkeypatch.setenv("PATH", str(tmp_path))


def test_a_network_is_written_for_nvidias_container(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    asked = ["engines", "build", "--network", "ssr", "--backend", "onnxruntime", "--repository", str(tmp_path / "m")]
    assert cli.main(asked) == 0
    assert (tmp_path / "m" / "network-ssr" / "1" / "model.onnx").is_file()
    assert "network-ssr" in capfd.readouterr().out


def test_tensorrt_without_a_gpu_is_said_plainly(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["engines", "build", "--network", "depth"]) == Unavailable.exit_code
    told = capfd.readouterr()
    assert "TensorRT can take it" in told.out and "omnimatte: TensorRT needs an NVIDIA GPU" in told.err


@pytest.mark.parametrize("asked", [["--network", "nothing"], ["--backend", "openvino"]])
def test_what_is_unknown_is_refused(asked: list[str]) -> None:
    assert cli.main(["engines", "build", *asked]) == BadOption.exit_code
