"""The command `omnimatte weights`, as a user calls it, on tiny entries."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator import cli, weights_cli
from services.catalogue.home import WeightsHome
from services.catalogue.state import look
from services.errors import BadOption
from tests.services.catalogue.small import (
    BODY,
    CASPER,
    DIGEST,
    NET,
    NET_CONTENTS,
    offering,
    serving,
    shapes,
    write_safetensors,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WeightsHome:
    monkeypatch.setattr(weights_cli, "ENTRIES", (NET, CASPER))
    monkeypatch.setenv("OMNIMATTE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    return WeightsHome(tmp_path / "weights")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_weights_are_pulled_through_a_mirror_listed_and_verified(
    home: WeightsHome, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(offering(NET, NET_CONTENTS)) as hub:
        assert cli.main(["weights", "pull", "net", "--mirror", hub.base, "--accept-licence"]) == 0
    captured = capsys.readouterr()
    assert "Net: Apache-2.0. Any use." in captured.err and "Commercial service: allowed." in captured.err
    assert f"net/unet/net.bin: checked, sha256 {DIGEST}" in captured.out
    accepted = json.loads((home.folder(NET) / ".licence.json").read_text())
    assert accepted["licence"] == "Apache-2.0" and "@" in accepted["accepted_by"] and accepted["how"] == "option"
    assert accepted["accepted_at"].startswith("20")

    assert cli.main(["weights", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["net", "depth:", "net", "3", "MB", "Apache-2.0", "yes", "verified"]
    assert lines[2].split()[-1] == "missing"
    assert cli.main(["weights", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed[0]["state"] == "verified" and listed[1]["how"] == "import"

    assert cli.main(["weights", "verify"]) == 0
    assert f"net/unet/net.bin: right, {DIGEST}" in capsys.readouterr().out
    (home.folder(NET) / "unet/net.bin").write_bytes(BODY[:-1] + b"?")
    assert cli.main(["weights", "verify"]) == 2
    captured = capsys.readouterr()
    assert "net/unet/net.bin: wrong" in captured.out
    assert look(NET, home).lacking == ("unet/net.bin",)
    assert captured.err.strip() == "omnimatte: not as they should be: net; get them with `omnimatte weights pull net`."
    with serving(offering(NET, NET_CONTENTS)) as hub:
        assert cli.main(["weights", "pull", "net", "--mirror", hub.base]) == 0
    assert (home.folder(NET) / "unet/net.bin").read_bytes() == BODY


def test_weights_are_pulled_from_a_folder(home: WeightsHome, tmp_path: Path) -> None:
    (tmp_path / "stick/net/unet").mkdir(parents=True)
    for path, content in NET_CONTENTS.items():
        (tmp_path / "stick/net" / path).write_bytes(content)
    write_safetensors(tmp_path / "stick/casper-tiny/casper.safetensors", shapes())
    arguments = ["weights", "pull", "net", "casper-tiny", "--from", str(tmp_path / "stick"), "--accept-licence"]
    assert cli.main(arguments) == 0
    assert (home.folder(CASPER) / "casper.safetensors").is_file()


def test_a_file_is_imported(home: WeightsHome, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = write_safetensors(tmp_path / "from drive.bin", shapes())
    assert cli.main(["weights", "import", str(given), "--accept-licence"]) == 0
    assert "casper-tiny/casper.safetensors: checked" in capsys.readouterr().out
    assert (home.folder(CASPER) / "casper.safetensors").is_file()


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["pull", "nett"], 2, "did you mean 'net'?"),
        (["pull", "net", "--from", "nowhere"], 2, "nowhere is no folder"),
        (["pull", "net", "--mirror", "ftp://x"], 2, "no http or https"),
        (["pull", "casper-tiny"], 2, "omnimatte weights import FILE"),
        (["pull", "net"], 2, "--accept-licence"),
        (["pull"], 2, "NAME"),
        (["import", "nowhere"], 2, "nowhere is no file"),
        (["verify", "net"], 2, "omnimatte weights pull net"),
        (["verify"], 0, ""),
        ([], 2, "--help"),
    ],
)
def test_every_mistake_is_one_line_and_leaves_nothing(
    home: WeightsHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: list[str], status: int, words: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert cli.main(["weights", *arguments]) == status
    errors = capsys.readouterr().err.strip().splitlines()
    assert not words or (errors[-1].startswith("omnimatte: ") and words in errors[-1])
    assert list(tmp_path.iterdir()) == []


def test_the_licence_is_asked_for_once(home: WeightsHome, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadOption, match="was not accepted"):
        weights_cli.accept_licence(NET, home, accepted=False, answers=Terminal("\n"))
    assert not home.acceptance(NET)
    weights_cli.accept_licence(NET, home, accepted=False, answers=Terminal("yes\n"))
    assert home.acceptance(NET)["how"] == "asked"
    capsys.readouterr()
    weights_cli.accept_licence(NET, home, accepted=False, answers=Terminal(""))
    assert capsys.readouterr().err == ""


def test_the_commands_import_nothing_heavy() -> None:
    heavy = ["torch", "numpy", "diffusers", "transformers", "safetensors", "onnxruntime", "grpc", "rich", "tqdm"]
    code = (
        "import sys; from orchestrator import cli; cli.main(['weights', 'list']); "
        f"print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stderr.strip()) == (0, "[]")
