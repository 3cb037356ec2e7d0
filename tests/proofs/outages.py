"""What a job survives: its database away, its store away, its disk full, another replica killed, suspected, replaced.

python -m tests.proofs.outages [NAME...]
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping

from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.client import Client, Retry
from services.errors import OmnimatteError, OutOfSpace
from tests import postgres, s3
from tests.proofs.small_disk import small_disk
from tests.proofs.stand import Replica, ended, figure, folder, half_made, replica, spec, wait_for

PACE = {"look": 0.2, "beat": 0.4, "silent": 2.0}
_PATIENT = Retry(attempts=100, first=0.1, longest=0.5)
# About eight stage runs one after the other.
_TEMPO = {"shortest": 0.6, "longest": 1.2, "step": 0.1}


def database_restarted() -> str:
    """PostgreSQL is stopped for some seconds while jobs run, and another is created meanwhile."""
    with folder() as home, postgres.serving() as server:
        settings = {"store": str(home / "store"), "database_url": server.database(), "executor_id": "proof-0"}
        with (
            replica({**settings, "running_jobs": 4, "pace": PACE}, tempo=_TEMPO) as running,
            Client(running.address, retry=_PATIENT) as client,
        ):
            wanted = [spec(client, i) for i in range(4)]
            jobs = [client.create_job(one) for one in wanted[:3]]
            wait_for(lambda: _begun(client, jobs[:1]), what="some progress")
            server.stop()
            begun = time.monotonic()
            try:
                with Client(running.address, retry=Retry(attempts=1)) as hasty:
                    hasty.get(jobs[0].name)
                raise AssertionError("the database is stopped, and yet it answers")
            except OmnimatteError as error:
                assert error.status == "UNAVAILABLE" and "database" in error.message, error
            time.sleep(5)
            server.start()
            away = time.monotonic() - begun
            jobs.append(client.create_job(wanted[3], request_id="during"))
            states = [ended(client, job.name).state for job in jobs]
            assert states == [pb.Job.SUCCEEDED] * 4, states
            assert _computed_once(client, jobs)
    return f"away for {away:.0f} s: 4 of 4 jobs succeeded, each stage run computed once"


def store_away(seconds: float = 30.0) -> str:
    """The S3 server is frozen while jobs run: requests hang, new ones too."""
    with folder() as home, s3.serving() as url:
        environment = s3.environment(url)
        os.environ.update(environment)
        store = s3.new_bucket(url)
        settings = {"store": store, "database_url": f"sqlite:///{home / 'db.sqlite'}", "running_jobs": 3}
        with replica(settings, tempo=_TEMPO) as running, Client(running.address, retry=_PATIENT) as client:
            wanted = [spec(client, i) for i in range(3)]
            jobs = [client.create_job(one) for one in wanted]
            wait_for(lambda: _begun(client, jobs[:1]), what="some progress")
            with s3.frozen(url):
                time.sleep(seconds)
            states = [ended(client, job.name, timeout=240).state for job in jobs]
            assert states == [pb.Job.SUCCEEDED] * 3, (states, client.get(jobs[0].name).error, running.log()[-3000:])
            assert _computed_once(client, jobs)
    return f"away for {seconds:.0f} s: 3 of 3 jobs succeeded, each stage run computed once"


def disk_full() -> str:
    """The store's disk is full in the middle of an upload and of jobs; then there is room again."""
    with small_disk(megabytes=24) as disk, folder() as home:
        settings = {"store": str(disk / "store"), "database_url": f"sqlite:///{home / 'db.sqlite'}", "running_jobs": 2}
        with replica(settings, tempo=_TEMPO) as running, Client(running.address, retry=_PATIENT) as client:
            wanted = spec(client, 0)
            try:
                client.upload(bytes([i % 251]) * 1_000_000 for i in range(60))
                raise AssertionError("60 MB went onto a disk of 24 MB")
            except OutOfSpace as error:
                refused = error
            job = client.create_job(wanted)
            wait_for(lambda: _begun(client, [job]), what="some progress")
            ballast = disk / "ballast"
            with ballast.open("wb") as file:
                try:
                    while True:
                        file.write(bytes(100_000))
                        file.flush()
                except OSError:
                    pass
            last = ended(client, job.name)
            assert last.state == pb.Job.FAILED and "no space" in last.error.message.lower(), last
            ballast.unlink()
            again = client.create_job({**wanted, "scheduling": {"priority": 1}})
            assert ended(client, again.name).state == pb.Job.SUCCEEDED
            assert half_made(settings["store"]) == []
            cached = [run for run in client.get(again.name).progress if run.state == pb.StageProgress.CACHED]
    assert "space" in refused.message
    return (
        f"upload and job refused as OutOfSpace; after room was made it went on from {len(cached)} finished stage runs"
    )


def replica_killed() -> str:
    """Two replicas share the work; one is killed."""
    with folder() as home, postgres.serving() as server:
        shared = {"store": str(home / "store"), "database_url": server.database(), "replicas": 2, "pace": PACE}
        first = Replica({**shared, "executor_id": "proof-0", "running_jobs": 3}, tempo=_TEMPO)
        with (
            replica({**shared, "executor_id": "proof-1", "running_jobs": 3}, tempo=_TEMPO) as second,
            Client(second.address, retry=_PATIENT) as client,
        ):
            jobs = [client.create_job(spec(client, i)) for i in range(6)]
            wait_for(lambda: _begun(client, jobs), what="some progress of all jobs")
            first.kill()
            killed = time.monotonic()
            states = [ended(client, job.name).state for job in jobs]
            took = time.monotonic() - killed
            assert states == [pb.Job.SUCCEEDED] * 6, states
            assert _computed_once(client, jobs)
    return f"6 of 6 jobs succeeded, the last {took:.0f} s after the kill, each stage run computed once"


def owner_suspected() -> str:
    """A live replica is frozen until the other takes it for dead and takes its jobs; then it wakes up."""
    with folder() as home, postgres.serving() as server:
        shared = {"store": str(home / "store"), "database_url": server.database(), "replicas": 2, "pace": PACE}
        with replica({**shared, "executor_id": "proof-0", "running_jobs": 3}, tempo=_TEMPO) as first:
            with Client(first.address, retry=_PATIENT) as client:
                jobs = [client.create_job(spec(client, i)) for i in range(3)]
                wait_for(lambda: _begun(client, jobs), what="some progress of all jobs")
            with (
                replica({**shared, "executor_id": "proof-1", "running_jobs": 3}, tempo=_TEMPO) as second,
                Client(second.address, retry=_PATIENT) as client,
            ):
                first.process.send_signal(signal.SIGSTOP)
                wait_for(lambda: _attempts(shared["database_url"], jobs) == [2, 2, 2], what="a takeover")
                first.process.send_signal(signal.SIGCONT)
                states = [ended(client, job.name).state for job in jobs]
                assert states == [pb.Job.SUCCEEDED] * 3, states
                assert _computed_once(client, jobs)
                late = client.create_job(spec(client, 9))
                assert ended(client, late.name).state == pb.Job.SUCCEEDED
            assert "taken for dead" in first.log()
    return "3 of 3 jobs succeeded under their new owner; the old one stopped its own and came back"


def overlapping_deploy() -> str:
    """A new replica starts, then the old one is asked to go: jobs change hands without a pause for silence."""
    with folder() as home, postgres.serving() as server:
        pace = {**PACE, "silent": 60.0}
        shared = {"store": str(home / "store"), "database_url": server.database(), "replicas": 2, "pace": pace}
        first = Replica({**shared, "executor_id": "old", "running_jobs": 3}, tempo=_TEMPO)
        with Client(first.address, retry=_PATIENT) as client:
            jobs = [client.create_job(spec(client, i)) for i in range(3)]
            wait_for(lambda: _begun(client, jobs), what="some progress of all jobs")
        with (
            replica({**shared, "executor_id": "new", "running_jobs": 3}, tempo=_TEMPO) as second,
            Client(second.address, retry=_PATIENT) as client,
        ):
            begun = time.monotonic()
            first.end()
            gone = time.monotonic() - begun
            wait_for(lambda: _attempts(shared["database_url"], jobs) == [2, 2, 2], what="a hand-over")
            handed = time.monotonic() - begun
            states = [ended(client, job.name).state for job in jobs]
            assert states == [pb.Job.SUCCEEDED] * 3, states
            assert _computed_once(client, jobs)
    return f"the old one left after {gone:.1f} s, all jobs ran again after {handed:.1f} s; 3 of 3 succeeded"


def same_name() -> str:
    """A second process with a live replica's name is refused; after the first one's death it is welcome."""
    with folder() as home, postgres.serving() as server:
        settings = {"store": str(home / "store"), "database_url": server.database(), "executor_id": "proof-0"}
        first = Replica(settings, tempo=_TEMPO)
        try:
            Replica(settings, tempo=_TEMPO)
            raise AssertionError("two live processes have one name")
        except AssertionError as error:
            assert "is called proof-0" in str(error), error
        first.kill()
        begun = time.monotonic()
        with replica(settings, tempo=_TEMPO):
            took = time.monotonic() - begun
    return f"the second was refused; after a kill -9 of the first the name was free within {took:.1f} s"


def _begun(client: Client, jobs: list[pb.Job]) -> bool:
    """Whether each job has finished some stage runs, and none of them is over."""
    told = [client.get(job.name) for job in jobs]
    assert all(job.state in (pb.Job.QUEUED, pb.Job.RUNNING) for job in told), told
    return all(sum(run.state == _DONE for run in job.progress) >= 3 for job in told)


def _computed_once(client: Client, jobs: list[pb.Job]) -> bool:
    """Whether no stage run of the jobs is told as done twice."""
    for job in jobs:
        done = [event.progress.subject for event in client.watch(job.name) if event.progress.state == _DONE]
        if len(done) != len(set(done)):
            print(f"{job.name}: {sorted(done)}", file=sys.stderr)
            return False
    return True


_DONE = pb.StageProgress.DONE


def _attempts(database_url: str, jobs: list[pb.Job]) -> list[int]:
    """How often each job was begun."""
    import sqlalchemy as sa

    from orchestrator.schema import JOBS

    engine = sa.create_engine(database_url)
    with engine.connect() as connection:
        rows = connection.execute(sa.select(JOBS.c.id, JOBS.c.attempt)).all()
    engine.dispose()
    found = {row.id: row.attempt for row in rows}
    return [found[job.name.removeprefix("jobs/")] for job in jobs]


PROOFS: Mapping[str, Callable[[], str]] = {
    "PostgreSQL restarted mid-job": database_restarted,
    "store unreachable": store_away,
    "disk full": disk_full,
    "two replicas, one killed": replica_killed,
    "live owner suspected": owner_suspected,
    "overlapping deploy": overlapping_deploy,
    "two processes of one name": same_name,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(p.__name__ for p in PROOFS.values())}")
    asked = parser.parse_args()
    for name, proof in PROOFS.items():
        if not asked.names or proof.__name__ in asked.names:
            figure(name, proof())


if __name__ == "__main__":
    main()
