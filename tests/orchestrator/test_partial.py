"""A job that may end without some layers does, and says which and why; one that may not fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import toys
from conftest import make_spec

from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.api.status import from_status
from orchestrator.client import Client, error_of
from orchestrator.partial import concerns, without
from orchestrator.plan import Node
from orchestrator.spec import JobSpec, from_dict
from services.errors import BadMask, BadVideo, Cancelled, Internal, OutOfSpace, Unavailable

FILE = {"digest": "0" * 64}


def spec_of(*labels: str, occluder: str = "") -> JobSpec:
    objects = [{"label": label, "mask": FILE, "layer": label != occluder} for label in labels]
    return from_dict({"source": FILE, "objects": objects})


def cursed(client: Client, **changes: Any) -> dict[str, Any]:
    spec = make_spec(client)
    extra = {"label": toys.CURSED, "mask": client.upload([b"cursed"])}
    return {**spec, "objects": [*spec["objects"], extra], **changes}


def final(client: Client, spec: dict[str, Any]) -> pb.Job:
    return list(client.watch(client.create_job(spec).name))[-1].job


def test_the_other_layers_are_delivered_and_the_missing_one_is_named(client: Client, tmp_path: Path) -> None:
    job = final(client, cursed(client, allow_partial=True, options={"seed": 41}))
    assert job.state == pb.Job.SUCCEEDED
    [failure] = job.result.failures
    error = from_status(failure.error)
    assert failure.label == toys.CURSED and isinstance(error, BadVideo) and "leave it out" in error.message
    client.download(job.name, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out/layers").iterdir()) == ["cup", "vase"]
    told = {run.subject: run.state for run in client.get(job.name).progress}
    assert told["omnimatte/cursed"] == pb.StageProgress.FAILED
    # It is no layer, but it is removed from the background all the same.
    assert told["casper/background"] == told["mask/cursed"] == pb.StageProgress.CACHED


def test_what_was_done_for_the_whole_job_serves_the_part(client: Client) -> None:
    job = final(client, cursed(client, allow_partial=True, options={"seed": 42}))
    history = [event.progress for event in client.watch(job.name)]
    computed = [run.subject for run in history if run.state == pb.StageProgress.DONE]
    assert len(computed) == len(set(computed)) and "omnimatte/vase" in computed and "finish" in computed


def test_an_object_whose_mask_cannot_be_read_is_left_out(client: Client) -> None:
    spec = make_spec(client)
    spec["objects"].append({"label": "torn", "mask": client.upload([toys.NO_MASK])})
    job = final(client, {**spec, "allow_partial": True})
    assert job.state == pb.Job.SUCCEEDED
    assert [(failure.label, type(from_status(failure.error))) for failure in job.result.failures] == [("torn", BadMask)]


def test_without_leave_the_job_fails(client: Client) -> None:
    job = final(client, cursed(client, options={"seed": 43}))
    assert job.state == pb.Job.FAILED and isinstance(error_of(job), BadVideo)


def test_a_failure_of_all_fails_the_job(client: Client) -> None:
    job = final(client, {**make_spec(client, seed=toys.FAILS), "allow_partial": True})
    assert job.state == pb.Job.FAILED
    alone = {**cursed(client), "allow_partial": True}
    alone["objects"] = alone["objects"][-1:]
    assert final(client, alone).state == pb.Job.FAILED


@pytest.mark.parametrize(
    ("node", "error", "alone"),
    [
        ("omnimatte/vase", BadVideo("x"), True),
        ("casper/vase", Internal("x"), True),
        ("ssr/vase", BadVideo("x"), True),
        ("casper/background", BadVideo("x"), False),
        ("casper/background+vase", BadVideo("x"), False),
        ("sam2", BadVideo("x"), False),
        ("plate", BadVideo("x"), False),
        ("omnimatte/other", BadVideo("x"), False),
        # Time or room may heal these: the object is not to blame.
        ("omnimatte/vase", Unavailable("x"), False),
        ("omnimatte/vase", OutOfSpace("x"), False),
        ("omnimatte/vase", Cancelled("x"), False),
    ],
)
def test_an_object_fails_alone_where_a_run_was_its_own(node: str, error: Exception, alone: bool) -> None:
    assert concerns(spec_of("vase", "cup"), Node(node, node.partition("/")[0]), error) is alone  # type: ignore[arg-type]


def test_what_is_left_of_a_spec() -> None:
    spec, lost = without(spec_of("vase", "cup", "box"), {"omnimatte/cup": BadVideo("a"), "mask/box": BadMask("b")})
    assert [(item.label, item.layer) for item in spec.objects] == [("vase", True), ("cup", False)]
    assert [(failure.label, failure.error.message) for failure in lost] == [("box", "b"), ("cup", "a")]
    with pytest.raises(BadVideo, match="a"):
        without(spec_of("vase", "wall", occluder="wall"), {"casper/vase": BadVideo("a")})
