"""Whom a stage request is for travels with it and changes nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from services.artifacts import Store
from services.observe.about import current
from services.stage import Request, Stage, Work, address_of, event_from_json, event_to_json, execute

CONTEXT = {"job": "j1", "tenant": "studio", "traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}


class Telling(Stage):
    name = "telling"
    version = 1
    seen: dict[str, str]

    def run(self, work: Work) -> dict[str, Any]:
        self.seen = dict(current())
        return {}


def test_the_address_does_not_depend_on_whom_the_request_is_for(tmp_path: Path) -> None:
    plain, asked = Request("telling", {"a": 1}), Request("telling", {"a": 1}, context=CONTEXT)
    stage, store = Telling(), Store(str(tmp_path))
    assert address_of(stage, plain) == address_of(stage, asked)
    assert execute(stage, asked, store).cached is False
    found = execute(stage, plain, store)
    assert found.cached
    # Nor does what is stored: whoever shares the artifact learns nothing of who made it.
    assert "j1" not in str(store.get(found.address).manifest)


def test_the_context_travels_and_is_there_while_the_stage_runs(tmp_path: Path) -> None:
    asked = Request("telling", {"a": 1}, context=CONTEXT)
    arrived = Request.from_json(asked.to_json())
    assert arrived.context == CONTEXT
    stage = Telling()
    result = execute(stage, arrived, Store(str(tmp_path)))
    assert stage.seen == {"job": "j1", "tenant": "studio"} and current() == {}
    assert event_from_json(event_to_json(result)) == result and not result.gpu


def test_a_request_of_a_client_that_knows_no_context_is_as_it_was() -> None:
    assert Request.from_json('{"stage": "toy", "params": {}, "inputs": {}}').context == {}
    assert "context" not in Request("toy").to_json()
