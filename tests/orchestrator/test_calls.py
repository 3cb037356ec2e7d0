"""The calls beside a job's life: many jobs at once, what one would take, masks while pointing, and only some fields."""

from __future__ import annotations

import time
from typing import Any

import toys
from conftest import Caller, error_of, make_spec
from google.protobuf.field_mask_pb2 import FieldMask

from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.api.specs import spec_to_message
from orchestrator.api.status import from_status
from orchestrator.client import Client
from orchestrator.spec import from_dict
from services.errors import AlreadyExists, BadInput, BadPrompt, NotFound

Spec = dict[str, Any]


def message(spec: Spec) -> pb.Job:
    return pb.Job(spec=spec_to_message(from_dict(spec)))


def test_each_request_of_a_batch_has_an_outcome_of_its_own(call: Caller, client: Client, spec: Spec) -> None:
    other = {**spec, "options": {"seed": 1}}
    nobodys = {**spec, "source": {"digest": "0" * 64}}
    requests = [
        pb.CreateJobRequest(job=message(one), request_id=request_id)
        for one, request_id in ((spec, "batch-0"), (nobodys, "batch-1"), (other, "batch-0"), (spec, "batch-0"))
    ]
    answer = call("BatchCreateJobs", pb.BatchCreateJobsRequest(requests=requests))
    first, missing, reused, again = answer.outcomes
    assert first.job.name == again.job.name
    assert isinstance(from_status(missing.error), NotFound) and isinstance(from_status(reused.error), AlreadyExists)
    assert client.get(first.job.name).spec_digest == first.job.spec_digest
    assert isinstance(error_of(call, "BatchCreateJobs", pb.BatchCreateJobsRequest()), BadInput)
    many = pb.BatchCreateJobsRequest(requests=[pb.CreateJobRequest()] * 1001)
    assert error_of(call, "BatchCreateJobs", many).field == "requests"


def test_an_estimate_knows_what_is_done_and_learns_from_it(call: Caller, client: Client) -> None:
    spec = make_spec(client, seed=31)
    jobs = len(list(client.list()))
    before = call("EstimateJob", pb.EstimateJobRequest(job=message(spec)))
    stages = {stage.subject: stage for stage in before.stages}
    assert stages["ingest"].cached and not stages["casper/vase"].cached
    assert stages["casper/vase"].model == "compact" and stages["casper/vase"].processor_time.ToNanoseconds() > 0
    total = sum(stage.processor_time.ToNanoseconds() for stage in before.stages)
    assert abs(before.processor_time.ToNanoseconds() - total) < 1000
    assert 0 < before.critical_path.ToNanoseconds() <= total
    assert len(list(client.list())) == jobs
    job = client.create_job(spec)
    list(client.watch(job.name))
    # What a job took is noted in the moment after its end.
    for _ in range(100):
        after = call("EstimateJob", pb.EstimateJobRequest(job=message(spec)))
        if all(stage.cached for stage in after.stages):
            break
        time.sleep(0.02)
    assert all(stage.cached for stage in after.stages) and after.processor_time.ToNanoseconds() == 0
    fresh = call("EstimateJob", pb.EstimateJobRequest(job=message({**spec, "options": {"seed": 32}})))
    kept = {stage.subject for stage in fresh.stages if stage.cached}
    assert "plate" in kept and "casper/vase" not in kept
    assert {stage.basis for stage in fresh.stages if not stage.cached} == {pb.StageEstimate.MEASURED}
    larger = call("EstimateJob", pb.EstimateJobRequest(job=message({**spec, "options": {"schedule": "reference"}})))
    guessed = {stage.subject for stage in larger.stages if stage.basis == pb.StageEstimate.ASSUMED}
    assert guessed == {"omnimatte/vase", "omnimatte/cup"}


def test_an_estimate_tells_of_jobs_that_come_first(call: Caller, client: Client) -> None:
    running = client.create_job(make_spec(client, seed=toys.WAITS))
    waiting = client.create_job(make_spec(client, seed=33))
    try:
        spec = make_spec(client, seed=34)
        assert call("EstimateJob", pb.EstimateJobRequest(job=message(spec))).jobs_ahead == 1
        first = {**spec, "scheduling": {"priority": 9}}
        assert call("EstimateJob", pb.EstimateJobRequest(job=message(first))).jobs_ahead == 0
        told = call("GetJob", pb.GetJobRequest(name=waiting.name)).waiting
        assert told.reason == "NO_CAPACITY" and told.ahead == 0 and "all 1 places" in told.message
    finally:
        client.cancel(running.name)
        list(client.watch(waiting.name))


def preview_request(spec: Spec, **changes: Any) -> pb.PreviewMasksRequest:
    box = pb.Prompt(frame=2, box=pb.Box(x0=0, y0=0, x1=4, y1=4))
    objects = [pb.Object(label="vase", prompts=[box]), pb.Object(label="cup", prompts=[box])]
    return pb.PreviewMasksRequest(
        **{"source": pb.File(digest=spec["source"]["digest"]), "objects": objects, "frame": 2, **changes}
    )


def test_masks_are_previewed_in_the_order_of_the_objects(call: Caller, spec: Spec) -> None:
    answer = call("PreviewMasks", preview_request(spec))
    assert [(mask.label, mask.png) for mask in answer.masks] == [("vase", b"vase@2"), ("cup", b"cup@2")]
    assert answer.masks[0].coverage == 0.5


def test_what_cannot_be_previewed_is_refused(call: Caller, spec: Spec) -> None:
    masked = [pb.Object(label="vase", mask=pb.File(digest=spec["objects"][0]["mask"]["digest"]))]
    for changes, kind, field in (
        ({"frame": 1}, BadPrompt, "objects[0].prompts"),
        ({"frame": -1}, BadPrompt, "frame"),
        ({"objects": masked}, BadInput, "objects[0].mask"),
        ({"objects": []}, BadInput, "objects"),
        ({"source": None}, BadInput, "source"),
        ({"source": pb.File(digest="0" * 64)}, NotFound, "source.digest"),
        ({"options": pb.Options(profile="nobodys")}, BadInput, "options.profile"),
    ):
        error = error_of(call, "PreviewMasks", preview_request(spec, **changes))
        assert isinstance(error, kind) and error.field == field, (changes, error, error.field)


def test_a_read_mask_leaves_everything_else_away(call: Caller, client: Client, spec: Spec) -> None:
    job = client.create_job(spec)
    list(client.watch(job.name))
    told = call("GetJob", pb.GetJobRequest(name=job.name, read_mask=FieldMask(paths=["state", "result.frames"])))
    assert told == pb.Job(state=pb.Job.SUCCEEDED, result=pb.JobResult(frames=3))
    whole = call("GetJob", pb.GetJobRequest(name=job.name, read_mask=FieldMask(paths=["*"])))
    assert whole.progress and whole.result.files
    listed = call("ListJobs", pb.ListJobsRequest(page_size=1, read_mask=FieldMask(paths=["name"])))
    assert [one.ListFields()[0][1] for one in listed.jobs] == [one.name for one in listed.jobs]
    for method, request in (
        ("GetJob", pb.GetJobRequest(name=job.name, read_mask=FieldMask(paths=["colour"]))),
        ("ListJobs", pb.ListJobsRequest(read_mask=FieldMask(paths=["spec.colour"]))),
    ):
        assert error_of(call, method, request).field == "read_mask"


def test_jobs_are_listed_by_their_states(call: Caller, client: Client) -> None:
    job = client.create_job(make_spec(client, seed=toys.FAILS))
    list(client.watch(job.name))
    failed = call("ListJobs", pb.ListJobsRequest(states=[pb.Job.FAILED]))
    assert job.name in {one.name for one in failed.jobs}
    assert {one.state for one in failed.jobs} == {pb.Job.FAILED}
    none = call("ListJobs", pb.ListJobsRequest(states=[pb.Job.CANCELLING]))
    assert not none.jobs and not none.next_page_token
    assert error_of(call, "ListJobs", pb.ListJobsRequest(states=[0])).field == "states"
    assert error_of(call, "ListJobs", pb.ListJobsRequest(states=[99])).field == "states"
