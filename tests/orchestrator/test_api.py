"""The API as a client sees it: a real server on the loopback, toy stages behind it."""

from __future__ import annotations

import os
import re
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import grpc
import pytest
import toys
from conftest import Background, Caller, make_spec
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.api.specs import spec_to_dict
from orchestrator.client import FINAL_STATES, Client, error_of
from orchestrator.server import SERVICE
from services.artifacts import Store
from services.errors import AlreadyExists, BadInput, BadOption, BadVideo, Conflict, NotFound, Unavailable

Spec = dict[str, Any]


def followed(client: Client, job: pb.Job, *, after: int = 0) -> list[pb.JobEvent]:
    return list(client.watch(job.name, after=after))


def files(background: Background) -> list[Path]:
    return sorted(Path(folder) / name for folder, _, names in os.walk(background.store) for name in names)


def until_running(client: Client, job: pb.Job, subject: str = "casper/background") -> None:
    for event in client.watch(job.name):
        if event.progress.subject == subject and event.progress.state == pb.StageProgress.RUNNING:
            return


def test_a_job_runs_to_its_end_and_its_files_come_back(client: Client, spec: Spec, tmp_path: Path) -> None:
    job = client.create_job(spec)
    assert job.name.startswith("jobs/") and job.state == pb.Job.QUEUED
    events = followed(client, job)
    final = events[-1].job
    assert final.state == pb.Job.SUCCEEDED
    assert final.result.frames == 3 and final.result.recomposition_psnr == 40.0
    fetched = client.get(job.name)
    progress = {run.subject: run.state for run in fetched.progress}
    assert progress["ingest"] == progress["finish"] == pb.StageProgress.DONE and len(progress) >= 14
    fetched.ClearField("progress")
    assert final == fetched
    client.download(job.name, tmp_path / "out")
    written = {str(path.relative_to(tmp_path / "out")): path.stat().st_size for path in (tmp_path / "out").rglob("*.*")}
    assert written == {file.path: file.size_bytes for file in final.result.files}
    assert (tmp_path / "out/layers/vase/00000.png").read_bytes() == b"vase" * 1000
    assert written["empty.txt"] == 0


def test_events_tell_every_stage_run_from_queued_to_done(client: Client) -> None:
    job = client.create_job(make_spec(client, seed=11))
    events = followed(client, job)
    sequences = [event.sequence for event in events]
    assert sequences == sorted(set(sequences))
    states: dict[str, list[int]] = {}
    for event in events:
        if event.WhichOneof("event") == "progress":
            states.setdefault(event.progress.subject, []).append(event.progress.state)
    assert set(states) >= {"ingest", "casper/background", "casper/vase", "omnimatte/cup", "finish"}
    finals = (pb.StageProgress.DONE, pb.StageProgress.CACHED)
    assert all(seen[0] == pb.StageProgress.QUEUED and seen[-1] in finals for seen in states.values())
    jobs = [event.job.state for event in events if event.WhichOneof("event") == "job"]
    assert jobs == [pb.Job.QUEUED, pb.Job.RUNNING, pb.Job.SUCCEEDED]


def test_a_second_equal_job_computes_nothing(client: Client) -> None:
    spec = make_spec(client, seed=12)
    followed(client, client.create_job(spec))
    events = followed(client, client.create_job(spec))
    ended = [e.progress.state for e in events if e.progress.state in (pb.StageProgress.DONE, pb.StageProgress.CACHED)]
    assert set(ended) == {pb.StageProgress.CACHED}


def test_watching_resumes_after_a_sequence_number(client: Client) -> None:
    job = client.create_job(make_spec(client, seed=13))
    events = followed(client, job)
    middle = events[len(events) // 2].sequence
    assert [event.sequence for event in followed(client, job, after=middle)] == [
        event.sequence for event in events if event.sequence > middle
    ]
    assert followed(client, job, after=events[-1].sequence) == []


def test_old_progress_reports_give_way_to_new_ones(client: Client) -> None:
    job = client.create_job(make_spec(client, seed=toys.TALKS))
    followed(client, job)
    reports = [e for e in followed(client, job) if e.progress.subject == "casper/vase" and e.progress.total]
    assert len(reports) <= 2


def test_losses_and_pictures_of_the_work_reach_who_watches(client: Client) -> None:
    job = client.create_job(make_spec(client, seed=toys.WAITS))
    shown = next(event.progress for event in client.watch(job.name) if event.progress.preview)
    assert (shown.subject, shown.preview, dict(shown.losses)) == ("casper/background", b"picture", {"sparsity": 0.25})
    client.cancel(job.name)
    last = [e.progress for e in followed(client, job) if e.progress.subject == "casper/background"][-1]
    assert last.state == pb.StageProgress.CANCELLED and not last.preview


def test_the_same_request_twice_is_one_job(client: Client, spec: Spec) -> None:
    first = client.create_job(spec, request_id="once")
    assert client.create_job(spec, request_id="once").name == first.name
    assert client.create_job(spec, request_id="twice").name != first.name


def test_choices_travel_and_what_is_not_chosen_is_settled(client: Client, spec: Spec) -> None:
    casper = {"tier": "draft", "prompt": "a beach", "size": "320x560", "image_context": "zeros", "runs_together": 2}
    chosen = {**spec, "options": {"models": {"depth": "depthcrafter"}, "casper": casper}}
    options = client.create_job(chosen).spec.options
    assert options.profile == "compact", "the service's own"
    assert dict(options.models) == {"depth": "depthcrafter"} and options.casper.size == "320x560"
    assert spec_to_dict(client.create_job(chosen, request_id="again").spec)["options"]["casper"] == casper


def test_a_request_id_for_another_job_is_refused_with_both_digests(client: Client, spec: Spec) -> None:
    first = client.create_job(spec, request_id="mine")
    other = {**spec, "options": {"seed": 5}}
    with pytest.raises(AlreadyExists) as caught:
        client.create_job(other, request_id="mine")
    assert first.spec_digest in caught.value.message
    assert len(re.findall(r"\b[0-9a-f]{64}\b", caught.value.message)) == 2


def test_a_stage_that_fails_fails_the_job_with_its_error(client: Client, tmp_path: Path) -> None:
    job = client.create_job(make_spec(client, seed=toys.FAILS))
    final = followed(client, job)[-1].job
    assert final.state == pb.Job.FAILED
    error = error_of(final)
    assert type(error) is BadVideo and "too strange" in error.message
    with pytest.raises(Conflict, match="only a job that has succeeded"):
        client.download(job.name, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_running_job_is_cancelled_within_its_stages(client: Client) -> None:
    job = client.create_job(make_spec(client, seed=toys.WAITS))
    until_running(client, job)
    assert client.cancel(job.name).state in (pb.Job.CANCELLING, pb.Job.CANCELLED)
    events = followed(client, job)
    assert events[-1].job.state == pb.Job.CANCELLED
    stopped = {event.progress.subject for event in events if event.progress.state == pb.StageProgress.CANCELLED}
    assert "casper/background" in stopped
    assert client.cancel(job.name).state == pb.Job.CANCELLED


def test_a_queued_job_is_cancelled_before_it_starts(client: Client) -> None:
    running = client.create_job(make_spec(client, seed=toys.WAITS))
    until_running(client, running)
    queued = client.create_job(make_spec(client, seed=21))
    assert client.cancel(queued.name).state == pb.Job.CANCELLED
    client.cancel(running.name)
    followed(client, running)
    assert [event.WhichOneof("event") for event in followed(client, queued)] == ["job", "job"]


def test_a_job_that_has_ended_cannot_be_cancelled(client: Client) -> None:
    job = client.create_job(make_spec(client, seed=22))
    followed(client, job)
    with pytest.raises(Conflict, match="succeeded"):
        client.cancel(job.name)


def test_deleting_forgets_the_job_and_its_results(client: Client, background: Background) -> None:
    job = client.create_job(make_spec(client, seed=23))
    result = followed(client, job)[-1].job.result.address
    store = Store(background.store)
    assert store.find(result) is not None
    client.delete(job.name)
    with pytest.raises(NotFound):
        client.get(job.name)
    assert store.find(result) is None


def test_deleting_leaves_results_that_another_job_shares(client: Client, background: Background) -> None:
    spec = make_spec(client, seed=24)
    one, two = client.create_job(spec), client.create_job(spec)
    address = [followed(client, job)[-1].job.result.address for job in (one, two)]
    assert address[0] == address[1]
    client.delete(one.name)
    assert Store(background.store).find(address[0]) is not None
    client.delete(two.name)
    assert Store(background.store).find(address[0]) is None


def test_a_job_that_runs_cannot_be_deleted(client: Client) -> None:
    job = client.create_job(make_spec(client, seed=toys.WAITS))
    with pytest.raises(Conflict, match="cancel it"):
        client.delete(job.name)
    client.cancel(job.name)
    followed(client, job)


def test_pages_of_jobs_are_whole_and_newest_first(client: Client, spec: Spec) -> None:
    made = [client.create_job(spec).name for _ in range(5)]
    for name in made:
        followed(client, client.get(name))
    listed = [job.name for job in client.list(page_size=2)]
    assert listed[:5] == made[::-1]
    assert len(listed) == len(set(listed)) == len(list(client.list()))


def test_uploads_are_addressed_by_their_content(client: Client, background: Background, tmp_path: Path) -> None:
    file = tmp_path / "clip.mp4"
    file.write_bytes(b"0123456789" * 200_000)
    sent: list[int] = []
    first = client.upload(file, on_sent=sent.append)
    assert first["filename"] == "clip.mp4" and sent[-1] == 2_000_000
    assert client.upload([file.read_bytes()[:7], file.read_bytes()[7:]])["digest"] == first["digest"]
    assert Store(background.store).get(first["digest"]).read("data") == file.read_bytes()


def test_an_upload_over_the_limit_is_refused_and_leaves_nothing(client: Client, background: Background) -> None:
    before = files(background)
    with pytest.raises(BadInput, match="larger than this server's limit of 3 MB"):
        client.upload((bytes(1 << 20) for _ in range(10)), filename="huge.mp4")
    assert files(background) == before


def test_an_upload_that_breaks_off_leaves_nothing(client: Client, background: Background) -> None:
    def broken() -> Any:
        yield bytes(1000)
        raise BadInput("the disk was unplugged.")

    before = files(background)
    with pytest.raises(BadInput, match="unplugged"):
        client.upload(broken())
    deadline = time.monotonic() + 10
    while files(background) != before and time.monotonic() < deadline:
        time.sleep(0.05)  # the server hears of it a moment later
    assert files(background) == before


def test_an_empty_upload_is_refused(client: Client, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="empty"):
        client.upload([], filename="clip.mp4")
    (tmp_path / "clip.mp4").touch()
    with pytest.raises(BadInput, match=r"clip\.mp4 is empty"):
        client.upload(tmp_path / "clip.mp4")


def test_jobs_name_uploads_and_nothing_else_in_the_store(client: Client, spec: Spec) -> None:
    with pytest.raises(NotFound) as missing:
        client.create_job({**spec, "source": {"digest": "0" * 64}})
    assert missing.value.field == "source.digest"
    job = client.create_job(make_spec(client, seed=25))
    result = followed(client, job)[-1].job.result.address
    with pytest.raises(NotFound):
        client.create_job({**spec, "source": {"digest": result}})


def test_the_server_checks_specs_itself(call: Caller, spec: Spec) -> None:
    message = pb.Job(spec=pb.JobSpec(source=pb.File(digest=spec["source"]["digest"])))
    with pytest.raises(BadInput) as caught:
        call("CreateJob", pb.CreateJobRequest(job=message))
    assert caught.value.field == "objects"
    message.spec.objects.add(label="vase", mask=pb.File(digest=spec["source"]["digest"]))
    message.spec.options.profile = "enormous"
    with pytest.raises(BadOption, match="compact, production"):
        call("CreateJob", pb.CreateJobRequest(job=message))


@pytest.mark.parametrize("name", ["jobs/nothing", "nothing", "jobs/", "jobs/a/b", ""])
def test_unknown_names_are_not_found(client: Client, name: str, tmp_path: Path) -> None:
    for call in (client.get, client.cancel, client.delete, lambda n: list(client.watch(n))):
        with pytest.raises(NotFound):
            call(name)
    with pytest.raises(NotFound):
        client.download(name, tmp_path / "out")


def test_bad_page_tokens_and_sizes_are_refused(call: Caller) -> None:
    with pytest.raises(BadOption, match="page_token"):
        call("ListJobs", pb.ListJobsRequest(page_token="\x00!"))
    with pytest.raises(BadOption, match="page_size"):
        call("ListJobs", pb.ListJobsRequest(page_size=-1))


def test_errors_carry_a_status_that_any_client_can_read(client: Client) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        client._stub.GetJob(pb.GetJobRequest(name="jobs/nothing"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert "list the jobs" in caught.value.details()


def test_only_the_files_asked_for_are_sent(client: Client, tmp_path: Path) -> None:
    job = client.create_job(make_spec(client, seed=26))
    followed(client, job)
    client.download(job.name, tmp_path / "out", paths=["index.html"])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["index.html"]
    with pytest.raises(NotFound, match="no file 'secret'"):
        client.download(job.name, tmp_path / "more", paths=["secret"])
    assert not (tmp_path / "more").exists()


def test_health_and_reflection_answer(background: Background) -> None:
    with grpc.insecure_channel(background.server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", SERVICE):
            answer = health.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        services = next(iter(stub.ServerReflectionInfo(iter([request])))).list_services_response.service
        assert SERVICE == "omnimatte.v1.Omnimatte" and SERVICE in [service.name for service in services]


def test_metrics_tell_of_jobs_and_stages(client: Client, background: Background) -> None:
    followed(client, client.create_job(make_spec(client, seed=27)))
    with urllib.request.urlopen(background.server.metrics_url) as answer:
        text = answer.read().decode()
    assert 'omnimatte_stage_seconds_count{stage="casper"}' in text
    assert 'omnimatte_stage_runs_total{stage="ingest",state="cached"}' in text
    assert 'omnimatte_jobs{state="succeeded"}' in text
    assert 'omnimatte_stages_in_flight{stage="casper"} 0.0' in text
    assert "omnimatte_queue_length 0.0" in text


def test_many_watchers_see_the_same(client: Client) -> None:
    job = client.create_job(make_spec(client, seed=28))
    seen: list[int] = []
    threads = [threading.Thread(target=lambda: seen.append(followed(client, job)[-1].job.state)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [pb.Job.SUCCEEDED] * 4
    assert pb.Job.SUCCEEDED in FINAL_STATES


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with Client("127.0.0.1:1") as nobody, pytest.raises(Unavailable, match=r"127\.0\.0\.1:1 does not answer"):
        nobody.get("jobs/x")


def test_an_upload_without_its_last_message_is_not_stored(client: Client, background: Background) -> None:
    before = files(background)
    requests = [pb.UploadRequest(filename="clip.mp4", chunk=b"half of")]
    with pytest.raises(grpc.RpcError) as caught:
        client._stub.Upload(iter(requests))
    assert caught.value.code() is grpc.StatusCode.CANCELLED
    assert files(background) == before
