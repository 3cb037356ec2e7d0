"""Jobs change hands through the database: once each, in order, and never behind the back of who has them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from orchestrator.db import Database
from orchestrator.records import JobState, NewEvent
from orchestrator.scheduling.policy import Policies, Policy
from orchestrator.scheduling.queue import Lost, Queue
from orchestrator.scheduling.replicas import Replicas
from orchestrator.spec import from_dict
from orchestrator.timing import Line
from services.errors import DeadlineExceeded, decode

FILE = {"digest": "0" * 64}


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def replicas(database: Database) -> Replicas:
    return Replicas(database.engine, silent_after=1000.0)


@pytest.fixture
def queue(database: Database) -> Queue:
    return Queue(database.engine, Policies())


def put(database: Database, tenant: str = "local", *, objects: int = 1, **scheduling: Any) -> str:
    items = [{"label": f"o{i}", "mask": FILE} for i in range(objects)]
    spec = from_dict({"source": FILE, "objects": items, "scheduling": scheduling})
    return database.create(spec, tenant=tenant)[0].id


def test_a_job_is_claimed_once_and_runs_from_then_on(database: Database, queue: Queue, replicas: Replicas) -> None:
    me = replicas.register("pod-0", places=2)
    job = put(database)
    [claim] = queue.claim("pod-0", me, places=2)
    assert (claim.job, claim.attempt) == (job, 1)
    record = database.get(job)
    assert (record.state, record.executor, record.attempt) == (JobState.RUNNING, "pod-0", 1) and record.started
    assert queue.claim("pod-0", me, places=2) == []
    assert queue.mine("pod-0") == [claim]
    assert [event.body["job"]["state"] for event in database.events(job, tenant="local", after=0)] == [
        "queued", "running",
    ]  # fmt: skip


def test_many_who_claim_at_once_get_every_job_once(database: Database, queue: Queue, replicas: Replicas) -> None:
    names = [f"pod-{i}" for i in range(4)]
    incarnations = {name: replicas.register(name, places=5) for name in names}
    jobs = {put(database) for _ in range(20)}
    barrier = threading.Barrier(4)

    def take(name: str) -> list[str]:
        barrier.wait(10)
        return [claim.job for _ in range(5) for claim in queue.claim(name, incarnations[name], places=1)]

    with ThreadPoolExecutor(4) as pool:
        taken = [job for some in pool.map(take, names) for job in some]
    assert len(taken) == 20 and set(taken) == jobs


def test_interactive_then_priority_then_age(database: Database, queue: Queue, replicas: Replicas) -> None:
    me = replicas.register("pod-0", places=9)
    batch = put(database, **{"class": "batch"})
    old, urgent = put(database), put(database, priority=5)
    assert [claim.job for claim in queue.claim("pod-0", me, places=3)] == [urgent, old, batch]


def test_tenants_take_turns_by_what_their_jobs_cost(database: Database, replicas: Replicas) -> None:
    queue = Queue(database.engine, Policies(tenants={"studio": Policy(weight=2.0)}))
    me = replicas.register("pod-0", places=99)
    for _ in range(9):
        put(database, "studio", objects=2)
        put(database, "rival", objects=1)
    tenants = [database.get(claim.job).tenant for claim in queue.claim("pod-0", me, places=8)]
    # A job of two objects at twice the weight counts as much as one of one object at one.
    assert tenants.count("studio") == tenants.count("rival") == 4


def test_a_tenant_runs_no_more_than_may(database: Database, replicas: Replicas) -> None:
    queue = Queue(database.engine, Policies(default=Policy(running=1)))
    me = replicas.register("pod-0", places=9)
    first, second = put(database), put(database)
    [claim] = queue.claim("pod-0", me, places=5)
    assert claim.job == first and queue.claim("pod-0", me, places=5) == []
    standing = queue.standing(second)
    assert standing is not None and (standing.running, standing.ahead) == (1, 0)
    database.advance(first, JobState.SUCCEEDED, among=[JobState.RUNNING], attempt=1)
    assert [claim.job for claim in queue.claim("pod-0", me, places=5)] == [second]


def test_a_job_given_back_is_taken_again_under_a_new_number(
    database: Database, queue: Queue, replicas: Replicas
) -> None:
    me = replicas.register("pod-0", places=1)
    job = put(database)
    [old] = queue.claim("pod-0", me, places=1)
    assert queue.hand_back(old) and not queue.hand_back(old)
    standing = queue.standing(job)
    assert standing is not None and standing.handed_back
    [new] = queue.claim("pod-0", me, places=1)
    assert new.attempt == 2
    # Whoever still believes in the first attempt can write nothing any more.
    assert not database.append(job, [NewEvent({"node": 1})], attempt=old.attempt)
    assert not database.advance(job, JobState.SUCCEEDED, among=[JobState.RUNNING], attempt=old.attempt)
    assert not queue.hand_back(old)
    assert database.advance(job, JobState.SUCCEEDED, among=[JobState.RUNNING], attempt=new.attempt)


def test_a_job_that_was_cancelled_meanwhile_is_not_taken_again(
    database: Database, queue: Queue, replicas: Replicas
) -> None:
    me = replicas.register("pod-0", places=1)
    job = put(database)
    [claim] = queue.claim("pod-0", me, places=1)
    database.advance(job, JobState.CANCELLING, among=[JobState.RUNNING])
    assert queue.cancelling("pod-0") == [job]
    assert not queue.hand_back(claim)


def test_who_was_struck_off_claims_nothing(database: Database, queue: Queue, replicas: Replicas) -> None:
    old = replicas.register("pod-0", places=1)
    put(database)
    replicas.register("pod-0", places=1)
    with pytest.raises(Lost):
        queue.claim("pod-0", old, places=1)


def test_a_job_that_waits_beyond_its_deadline_fails(database: Database, queue: Queue) -> None:
    late, patient = put(database, timeout=0.01), put(database, timeout=1000)
    time.sleep(0.05)
    assert queue.expire() == [late] and queue.expire() == []
    record = database.get(late)
    assert record.state is JobState.FAILED and record.ended
    assert isinstance(decode(record.error), DeadlineExceeded)
    assert database.get(patient).state is JobState.QUEUED


def test_depths_and_pending_count_what_waits(database: Database, queue: Queue, replicas: Replicas) -> None:
    first = put(database, "studio")
    put(database, "studio", **{"class": "batch"})
    put(database, "rival")
    depths = {(depth.tenant, depth.line): (depth.jobs, depth.oldest) for depth in queue.depths()}
    assert depths["studio", Line.INTERACTIVE] == (1, database.get(first).created) and len(depths) == 3
    assert queue.pending("studio") == 2 and queue.pending("nobody") == 0
    standing = queue.standing(first)
    assert standing is not None and (standing.replicas, standing.others) == (0, 1)
