"""The silent are struck off and their jobs wait again; the living are left alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from orchestrator.db import Database
from orchestrator.records import JobState
from orchestrator.scheduling.policy import Policies
from orchestrator.scheduling.queue import Lost, Queue
from orchestrator.scheduling.replicas import Replicas
from orchestrator.schema import REPLICAS
from orchestrator.spec import from_dict

SILENT = 0.3
FILE = {"digest": "0" * 64}
SPEC = from_dict({"source": FILE, "objects": [{"label": "vase", "mask": FILE}]})


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def queue(database: Database) -> Queue:
    return Queue(database.engine, Policies())


def listener(database: Database, name: str) -> tuple[Replicas, str]:
    """A replica that has been heard for long enough to judge others."""
    replicas = Replicas(database.engine, silent_after=SILENT)
    incarnation = replicas.register(name, places=1)
    until = time.monotonic() + SILENT * 1.3
    while time.monotonic() < until:
        replicas.beat(name, incarnation)
        time.sleep(SILENT / 6)
    return replicas, incarnation


def silence(database: Database, name: str) -> None:
    """As if nothing had been heard of it for an hour."""
    with database.engine.begin() as connection:
        connection.execute(REPLICAS.update().where(REPLICAS.c.id == name).values(seen=sa.literal(1.0)))


def test_a_silent_replicas_jobs_wait_again(database: Database, queue: Queue) -> None:
    other = Replicas(database.engine, silent_after=SILENT)
    gone = other.register("gone", places=2)
    jobs = [database.create(SPEC, tenant="local")[0].id for _ in range(2)]
    assert len(queue.claim("gone", gone, places=2)) == 2
    database.advance(jobs[1], JobState.CANCELLING, among=[JobState.RUNNING])
    replicas, _ = listener(database, "here")
    silence(database, "gone")
    sweep = replicas.sweep()
    assert sweep is not None and sweep.silent == ("gone",) and set(sweep.jobs) == set(jobs)
    assert database.get(jobs[0]).state is JobState.QUEUED
    assert database.get(jobs[1]).state is JobState.CANCELLED
    assert replicas.listed() == ["here"]
    with pytest.raises(Lost):
        other.beat("gone", gone)


def test_a_job_whose_replica_never_came_back_under_its_name_is_freed(database: Database, queue: Queue) -> None:
    other = Replicas(database.engine, silent_after=SILENT)
    gone = other.register("gone", places=1)
    job = database.create(SPEC, tenant="local")[0].id
    queue.claim("gone", gone, places=1)
    other.leave("gone", gone)
    replicas, _ = listener(database, "here")
    sweep = replicas.sweep()
    assert sweep is not None and sweep.jobs == (job,) and sweep.silent == ()


def test_the_living_are_left_alone(database: Database, queue: Queue) -> None:
    replicas, mine = listener(database, "here")
    job = database.create(SPEC, tenant="local")[0].id
    queue.claim("here", mine, places=1)
    sweep = replicas.sweep()
    assert sweep is not None and sweep.silent == sweep.jobs == ()
    assert database.get(job).state is JobState.RUNNING


def test_who_was_not_heard_itself_judges_nobody(database: Database) -> None:
    """After the database was away everybody looks silent to the one who comes back first."""
    Replicas(database.engine, silent_after=SILENT).register("other", places=1)
    silence(database, "other")
    replicas, mine = listener(database, "here")
    time.sleep(SILENT)
    replicas.beat("here", mine)
    assert replicas.sweep() is None
    assert replicas.listed() == ["here", "other"]


def test_two_sweepers_free_each_job_once(database: Database, queue: Queue) -> None:
    gone = Replicas(database.engine, silent_after=SILENT).register("gone", places=40)
    jobs = {database.create(SPEC, tenant="local")[0].id for _ in range(20)}
    queue.claim("gone", gone, places=40)
    silence(database, "gone")
    with ThreadPoolExecutor(2) as pool:
        sweepers = [one for one, _ in pool.map(lambda i: listener(database, f"here-{i}"), range(2))]
        silence(database, "gone")
        barrier = threading.Barrier(2)

        def sweep(replicas: Replicas) -> tuple[str, ...]:
            barrier.wait(10)
            swept = replicas.sweep()
            return swept.jobs if swept is not None else ()

        freed = [job for some in pool.map(sweep, sweepers) for job in some]
    assert sorted(freed) == sorted(jobs)
    states = [len(database.events(job, tenant="local", after=0)) for job in jobs]
    assert states == [3] * 20  # queued, running, queued


def test_a_claim_and_a_sweep_of_the_claimer_have_an_order(database: Database, queue: Queue) -> None:
    """Either the sweep comes first, and nothing is claimed, or it finds what was claimed."""
    replicas, _ = listener(database, "here")
    for round_ in range(10):
        name = f"slow-{round_}"
        slow = Replicas(database.engine, silent_after=SILENT).register(name, places=1)
        job = database.create(SPEC, tenant="local")[0].id
        silence(database, name)
        barrier = threading.Barrier(2)

        def claim(name: str = name, slow: str = slow, barrier: threading.Barrier = barrier) -> None:
            barrier.wait(10)
            try:
                queue.claim(name, slow, places=1)
            except Lost:
                return

        def sweep(barrier: threading.Barrier = barrier) -> None:
            barrier.wait(10)
            replicas.sweep()

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda call: call(), [claim, sweep]))
        assert database.get(job).state is JobState.QUEUED
        database.advance(job, JobState.CANCELLED, among=[JobState.QUEUED])
