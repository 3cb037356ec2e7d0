"""Imports are timed in processes of their own, and the command prints what it measured."""

import json
from pathlib import Path

import pytest

from loadtests.data_path import startup
from loadtests.data_path.__main__ import main
from loadtests.data_path.table import Seconds

LOG = """import time: self [us] | cumulative | imported package
import time:       100 |        100 |   zipimport
import time:      3000 |       3100 | numpy
import time:       500 |       9000 |   services.artifacts
some warning
"""


def test_the_slowest_imports_are_those_that_take_longest_alone() -> None:
    assert startup.slowest(LOG, count=2) == {"numpy": 0.003, "services.artifacts": 0.0005}


def test_every_module_is_imported_as_often_as_asked() -> None:
    (found,) = startup.imports(["json"], repetitions=2)
    assert found.name == "json"
    assert len(found.seconds.times) == 2
    assert 1 <= len(found.slowest) <= 5
    assert "json" in startup.report_imports([found])


def test_the_command_measures_what_it_is_told_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = {phase: Seconds((1.0, 2.0, 4.0)) for phase in startup.PHASES}
    monkeypatch.setattr(startup, "starts", lambda *, repetitions: times)
    monkeypatch.setattr(startup, "imports", lambda *, repetitions: [startup.Import("m", Seconds((0.5,)), {"n": 0.25})])
    main(["startup", "--json", str(tmp_path / "out.json")])
    printed = capsys.readouterr().out
    assert "n 250" in printed
    assert "| ready " in printed
    found = json.loads((tmp_path / "out.json").read_text())
    assert set(found) == {"imports", "starts"}
    assert found["starts"]["ready"]["times"] == [1.0, 2.0, 4.0]


def test_the_command_measures_the_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["store", "--megabytes", "1", "--repetitions", "1", "--folder", str(tmp_path)])
    assert "1080p" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
