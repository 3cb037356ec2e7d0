"""What a server refuses and ends, so that no client can tire it out. Each test has a server of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import toys
from conftest import Background, Caller, error_of, make_spec

from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.api.specs import spec_to_message
from orchestrator.client import Client
from orchestrator.limits import Limits
from orchestrator.scheduling.policy import Policies, Policy
from orchestrator.spec import from_dict
from services.errors import Busy, DeadlineExceeded


def message(spec: dict[str, Any]) -> pb.Job:
    return pb.Job(spec=spec_to_message(from_dict(spec)))


def test_too_many_waiting_jobs_are_refused_with_the_time_to_come_back(tmp_path: Path) -> None:
    policies = Policies(default=Policy(pending=2))
    with Background(tmp_path, policies=policies) as crowded, Client(crowded.server.address) as client:
        running = client.create_job(make_spec(client, seed=toys.WAITS))
        next(event for event in client.watch(running.name) if event.job.state == pb.Job.RUNNING)
        for seed in (1, 2):
            client.create_job(make_spec(client, seed=seed))
        caller = Caller(crowded.server.address)
        error = error_of(caller, "CreateJob", pb.CreateJobRequest(job=message(make_spec(client, seed=3))))
        assert isinstance(error, Busy) and error.retry_after == 15
        caller.close()
        client.cancel(running.name)


def test_a_call_that_takes_too_long_ends_and_a_stream_can_be_taken_up(tmp_path: Path) -> None:
    limits = Limits(call_seconds=0.0001, stream_seconds=0.5)
    with Background(tmp_path, limits=limits) as hasty, Client(hasty.server.address) as client:
        spec = make_spec(client, seed=1)
        caller = Caller(hasty.server.address)
        error = error_of(caller, "CreateJob", pb.CreateJobRequest(job=message(spec)))
        assert isinstance(error, DeadlineExceeded)
        caller.close()
    limits = Limits(stream_seconds=0.5)
    with Background(tmp_path, limits=limits) as hasty, Client(hasty.server.address) as client:
        job = client.create_job(make_spec(client, seed=toys.WAITS_FOR_FILE))
        seen = []
        for event in client.watch(job.name):  # the client comes back each time the stream is ended
            seen.append(event.sequence)
            if len(seen) > 40:
                hasty.go()
        assert seen == sorted(set(seen)) and client.get(job.name).state == pb.Job.SUCCEEDED
