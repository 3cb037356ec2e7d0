"""What survives the death of the orchestrator: every job, and every stage that was done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import toys
from conftest import Background, make_spec

from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.client import Client

ROOT = Path(__file__).resolve().parents[2]


class Process:
    """An orchestrator in a process of its own, to be killed."""

    def __init__(self, folder: Path) -> None:
        store, database = str(folder / "store"), f"sqlite:///{folder / 'orchestrator.sqlite'}"
        self._process = subprocess.Popen(
            [sys.executable, toys.__file__, store, database],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    started = Process(tmp_path)
    yield started
    started.kill()


def wait_for(client: Client, job: pb.Job, subject: str, state: int) -> None:
    for event in client.watch(job.name):
        if event.progress.subject == subject and event.progress.state == state:
            return


def test_a_killed_orchestrator_takes_its_jobs_up_again(process: Process, tmp_path: Path) -> None:
    with Client(process.address) as client:
        running = client.create_job(make_spec(client, seed=toys.WAITS_FOR_FILE))
        queued = client.create_job(make_spec(client, seed=1))
        wait_for(client, running, "casper/background", pb.StageProgress.RUNNING)
        sequence = client.get(running.name).sequence
        process.kill()

    with Background(tmp_path) as again, Client(again.server.address) as client:
        again.go()
        events = list(client.watch(running.name, after=sequence))
        assert events[-1].job.state == pb.Job.SUCCEEDED
        states = {event.progress.subject: event.progress.state for event in events}
        assert states["ingest"] == states["mask/vase"] == pb.StageProgress.CACHED
        assert states["casper/background"] == pb.StageProgress.DONE
        assert list(client.watch(queued.name))[-1].job.state == pb.Job.SUCCEEDED
        assert len(list(client.list())) == 2


def test_a_stopped_orchestrator_leaves_its_jobs_to_the_next(tmp_path: Path) -> None:
    with Background(tmp_path) as first, Client(first.server.address) as client:
        job = client.create_job(make_spec(client, seed=toys.WAITS_FOR_FILE))
        wait_for(client, job, "casper/background", pb.StageProgress.RUNNING)
    with Background(tmp_path) as second, Client(second.server.address) as client:
        second.go()
        assert list(client.watch(job.name))[-1].job.state == pb.Job.SUCCEEDED


def test_a_job_cancelled_before_the_death_stays_cancelled(process: Process, tmp_path: Path) -> None:
    with Client(process.address) as client:
        running = client.create_job(make_spec(client, seed=toys.WAITS))
        queued = client.create_job(make_spec(client, seed=2))
        wait_for(client, running, "casper/background", pb.StageProgress.RUNNING)
        client.cancel(queued.name)
        client.cancel(running.name)
        process.kill()
    with Background(tmp_path) as again, Client(again.server.address) as client:
        for job in (running, queued):
            assert list(client.watch(job.name))[-1].job.state == pb.Job.CANCELLED


def test_a_stack_for_one_job_leaves_older_jobs_alone(process: Process, tmp_path: Path) -> None:
    with Client(process.address) as client:
        old = client.create_job(make_spec(client, seed=toys.WAITS))
        wait_for(client, old, "casper/background", pb.StageProgress.RUNNING)
        process.kill()
    with Background(tmp_path, resume=False) as again, Client(again.server.address) as client:
        assert client.get(old.name).state == pb.Job.CANCELLED
        new = client.create_job(make_spec(client, seed=3))
        assert list(client.watch(new.name))[-1].job.state == pb.Job.SUCCEEDED


def test_jobs_end_with_the_error_that_ended_their_stage_servers(tmp_path: Path) -> None:
    import asyncio

    from services.errors import Unavailable

    with Background(tmp_path) as running, Client(running.server.address) as client:
        job = client.create_job(make_spec(client, seed=toys.WAITS))
        queued = client.create_job(make_spec(client, seed=4))
        wait_for(client, job, "casper/background", pb.StageProgress.RUNNING)
        error = Unavailable("the model server was killed by signal 9; start it again.")
        asyncio.run_coroutine_threadsafe(running.server.fail(error), running.loop).result()
        final = list(client.watch(job.name))[-1].job
        assert final.state == pb.Job.FAILED and "signal 9" in final.error.message
        assert client.get(queued.name).state == pb.Job.QUEUED
    with Background(tmp_path) as again, Client(again.server.address) as client:
        assert list(client.watch(queued.name))[-1].job.state == pb.Job.SUCCEEDED
