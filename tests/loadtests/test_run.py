"""Whole runs: locust sends, a control plane on fake model servers works, and the report says what happened."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from loadtests.__main__ import main
from loadtests.drive.clips import unlike
from loadtests.drive.real_clips import SAMPLE
from loadtests.scenario import read_scenario

SCENARIO = """
name = "smoke"
duration_seconds = 12
arrivals = { process = "poisson", rate = 1.0 }
limits = { requests = 12, drain_seconds = 40 }
kinds = { small = { objects = 2, frames = 16 } }
tenants = { films = { pending = 2, running = 1 }, games = {} }
share = { interactive = 0.6, preview = 0.2, cancel = 0.1, download = 0.5 }
stand = { nodes = 2, scale = 0.1, running_jobs = 4 }
seed = 4
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SCENARIO)
    return path


def test_a_run_ends_in_a_report_that_can_be_compared(scenario: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["run", str(scenario), "--out", str(out)]) in (0, 1)
    report = json.loads((out / "report.json").read_text())
    outcomes = report["outcomes"]
    assert outcomes["requests"] == 12
    assert outcomes["lost"] == outcomes["error"] == outcomes["failed"] == 0
    assert outcomes["refused"] == outcomes["refused_with_hint"]
    assert outcomes["succeeded"] + outcomes["cancelled"] + outcomes["refused"] == 12
    # Every hop of every job was seen, and they add up.
    hops = report["hops"]
    assert hops["overhead"]["count"] == len([one for one in report["jobs"] if one["state"] == "succeeded"])
    parts = sum(one["share"] for name, one in hops.items() if name not in ("waiting", "overhead"))
    assert parts == pytest.approx(1.0, abs=0.01)
    assert hops["compute"]["share"] > 0.2
    assert report["models"]["casper"]["requests"] > 0
    assert "driver" in report and report["driver"]["p50"] < 0.5
    # No key of the API stays behind, nor does any process.
    assert not (out / "target.json").exists()
    assert "omni_" not in (out / "report.json").read_text() + (out / "report.html").read_text()
    again = tmp_path / "again"
    again.mkdir()
    (again / "report.json").write_text((out / "report.json").read_text())
    assert main(["compare", str(out), str(again)]) == 0
    assert main(["report", str(out)]) in (0, 1)


def test_chaos_needs_a_stand_that_can_be_broken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "chaos", "--target", "127.0.0.1:1", "--out", str(tmp_path)]) == 2
    assert "breaks things" in capsys.readouterr().err


def test_load_on_other_machines_is_refused_unless_it_is_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMNIMATTE_LOAD_ELSEWHERE", raising=False)
    assert main(["run", "smoke", "--target", "example.test:8000", "--out", str(tmp_path)]) == 2
    assert "not this machine" in capsys.readouterr().err
    assert main(["run", "smoke", "--target", "example", "--out", str(tmp_path)]) == 2
    assert "HOST:PORT" in capsys.readouterr().err


def test_a_clip_becomes_another_with_the_same_pictures() -> None:
    clip = (SAMPLE / "mask_vase.mp4").read_bytes()
    one, other = unlike(clip), unlike(clip)
    assert one != other and one.startswith(clip)
    size, name = struct.unpack(">I4s", one[len(clip) : len(clip) + 8])
    assert (len(one) - len(clip), name) == (size, b"free")


def test_soaks_delete_what_they_make() -> None:
    assert read_scenario("soak").cleanup
