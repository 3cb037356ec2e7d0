"""Input data for perf_analyzer: the very requests that made a store's artifacts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loadtests.fakes.stage import FakeStage, clip
from loadtests.fakes.tempo import Tempo
from loadtests.perf_analyzer import command, written
from services.artifacts import Store
from services.errors import BadOption
from services.stage import Request, execute


def test_each_request_is_sent_again_as_it_was(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    upload = store.upload([clip("small", 1, frames=8)], filename="a.bin").address
    request = Request("ingest", {"kind": "video"}, {"upload": upload}, "ingest")
    made = execute(FakeStage("ingest", Tempo({})), request, store)
    assert written(store, tmp_path / "out", forget="") == {"ingest": 1}
    [one] = json.loads((tmp_path / "out" / "ingest.json").read_text())["data"]
    content = one["request"]["content"]
    assert one["request"]["shape"] == [len(content)]
    again = Request.from_json(bytes(content).decode())
    assert (again.stage, again.params, again.inputs) == (request.stage, request.params, request.inputs)
    assert store.find(made.address) is not None
    assert "--streaming" in command("ingest", Path("ingest.json"), 1)


def test_what_is_forgotten_is_computed_again(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    upload = store.upload([clip("small", 1, frames=8)], filename="a.bin").address
    made = execute(FakeStage("ingest", Tempo({})), Request("ingest", {}, {"upload": upload}), store)
    written(store, tmp_path / "out", forget="ingest")
    assert store.find(made.address) is None and store.find(upload) is not None


def test_an_empty_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="no stage's artifact"):
        written(Store(str(tmp_path / "store")), tmp_path / "out", forget="")
