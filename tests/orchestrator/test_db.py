"""What the orchestrator remembers, and how its history stays short."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.db import Database
from orchestrator.execute import NodeEvent, NodeState
from orchestrator.journal import Bell, Journal
from orchestrator.records import JobState, NewEvent
from orchestrator.spec import JobSpec, from_dict
from services.errors import AlreadyExists, NotFound

FILE = {"digest": "0" * 64}


def spec(seed: int = 0) -> JobSpec:
    return from_dict({"source": FILE, "objects": [{"label": "vase", "mask": FILE}], "options": {"seed": seed}})


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


def test_a_job_is_read_as_it_was_written(database: Database, database_url: str) -> None:
    job, created = database.create(spec(3), tenant="local")
    assert created
    other = Database(database_url)
    assert other.get(job.id) == job and job.spec == spec(3)
    other.close()


def test_only_one_of_many_equal_requests_makes_a_job(database: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: database.create(spec(), tenant="local", request_id="same"), range(16)))
    assert len({job.id for job, _ in made}) == 1
    assert sum(created for _, created in made) == 1
    with pytest.raises(AlreadyExists):
        database.create(spec(1), tenant="local", request_id="same")


def test_jobs_without_a_request_id_are_always_new(database: Database) -> None:
    assert database.create(spec(), tenant="local")[0].id != database.create(spec(), tenant="local")[0].id


def test_a_job_moves_only_from_the_states_that_are_named(database: Database) -> None:
    job = database.create(spec(), tenant="local")[0].id
    assert database.advance(job, JobState.RUNNING, among=[JobState.QUEUED])
    assert not database.advance(job, JobState.CANCELLED, among=[JobState.QUEUED])
    started = database.get(job).started
    assert database.advance(job, JobState.RUNNING, among=[JobState.RUNNING])
    assert database.get(job).started == started > 0
    assert database.advance(job, JobState.SUCCEEDED, among=[JobState.RUNNING], result="ab")
    done = database.get(job)
    assert done.state.final and done.ended >= started and done.result == "ab"
    assert database.counts()[JobState.SUCCEEDED] == 1
    assert database.unfinished() == []


def test_events_are_numbered_and_read_from_any_point(database: Database) -> None:
    job = database.create(spec(), tenant="local")[0].id
    database.append(job, [NewEvent({"node": i}) for i in range(3)])
    assert [event.sequence for event in database.events(job, tenant="local", after=0)] == [1, 2, 3, 4]
    assert [event.body for event in database.events(job, tenant="local", after=2)] == [{"node": 1}, {"node": 2}]


def test_an_event_replaces_those_of_the_same_key(database: Database) -> None:
    job = database.create(spec(), tenant="local")[0].id
    for i in range(5):
        database.append(job, [NewEvent({"node": i}, replaces="casper")])
    assert [(event.sequence, event.body) for event in database.events(job, tenant="local", after=1)] == [
        (6, {"node": 4})
    ]


def test_events_for_a_job_that_is_gone_are_dropped(database: Database) -> None:
    job = database.create(spec(), tenant="local")[0].id
    database.delete(job)
    database.append(job, [NewEvent({"node": 1})])
    assert database.events(job, tenant="local", after=0) == []
    with pytest.raises(NotFound):
        database.get(job)


async def test_a_writer_keeps_the_newest_report_and_every_change_of_state(database: Database) -> None:
    job = database.create(spec(), tenant="local")[0].id
    lost: list[bool] = []
    async with Journal(database, Bell()).writer(job, attempt=0, on_lost=lambda: lost.append(True)) as write:
        write(NodeEvent("a", "casper", NodeState.RUNNING))
        for i in range(1, 100):
            write(NodeEvent("a", "casper", NodeState.RUNNING, i, 100))
            write(NodeEvent("b", "ssr", NodeState.RUNNING, i, 100))
        write(NodeEvent("a", "casper", NodeState.DONE, 100, 100))
    told = [(e.body["node"]["node"], e.body["node"]["done"]) for e in database.events(job, tenant="local", after=1)]
    assert told == [("a", 0), ("b", 99), ("a", 100)] and not lost


async def test_a_writer_whose_job_another_attempt_has_taken_writes_nothing_and_says_so(database: Database) -> None:
    job = database.create(spec(), tenant="local")[0].id
    lost: list[bool] = []
    async with Journal(database, Bell()).writer(job, attempt=7, on_lost=lambda: lost.append(True)) as write:
        write(NodeEvent("a", "casper", NodeState.DONE))
    assert lost and len(database.events(job, tenant="local", after=0)) == 1
