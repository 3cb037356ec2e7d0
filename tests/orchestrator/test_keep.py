"""Claiming and discarding an artifact: every order of their steps, and the death of either side between any two."""

from __future__ import annotations

import hashlib
import itertools
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from actors import Actor

from orchestrator.db import Database
from orchestrator.keep import Keeper, Kept
from orchestrator.records import JobState
from orchestrator.references import TAKEOVER_SECONDS, Answer, References, Role
from orchestrator.spec import from_dict
from services.artifacts import Draft, Store
from services.errors import NotFound, OutOfSpace

ADDRESS = hashlib.sha256(b"artifact").hexdigest()
FILE = {"digest": "0" * 64}
SPEC = from_dict({"source": FILE, "objects": [{"label": "vase", "mask": FILE}]})


class Clock:
    def __init__(self) -> None:
        self.passed = 0.0

    def __call__(self) -> float:
        return time.time() + self.passed


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    yield opened
    opened.close()


@pytest.fixture
def references(database: Database, clock: Clock) -> References:
    return References(database.engine, clock=clock)


@pytest.fixture
def keeper(store: Store, references: References, clock: Clock) -> Keeper:
    return Keeper(store, references, clock=clock)


def make(store: Store) -> None:
    draft = Draft(store, ADDRESS, "toy")
    draft.put("data", b"data")
    draft.commit(request={}, meta={})


def use(actor: Actor, store: Store, references: References, job: str, clock: Clock) -> Iterator[Kept]:
    """What a job does for a stage: look for the artifact or make it, then claim it, until it has it."""
    stepped = actor.on(store)
    keeper = Keeper(stepped, actor.on(references), clock=clock)
    kept = Kept.GONE
    while kept is not Kept.HELD:
        if kept is Kept.GONE and stepped.find(ADDRESS) is None:
            make(stepped)
        kept = keeper.try_keep(job, ADDRESS, role=Role.INTERMEDIATE)
        yield kept


def whole(store: Store) -> bool:
    found = store.find(ADDRESS)
    return found is not None and found.read("data") == b"data"


# The calls of a discard, in their order: mark, look, delete the manifest, take the mark away, delete the data.
_CALLS = 5


@pytest.mark.parametrize("dies", [None, *range(_CALLS)])
def test_whatever_the_order_a_claimed_artifact_stays(
    store: Store, references: References, database: Database, clock: Clock, dies: int | None
) -> None:
    """Exhaustive: how many calls the user makes before each call of the deleter, and which of these it dies before."""
    seen: set[Kept] = set()
    calls = _CALLS if dies is None else dies
    most = 5 if dies is not None else 4
    for before in itertools.product(range(most + 1), repeat=calls):
        if sum(before) > most:
            continue
        job = database.create(SPEC, tenant="a")[0].id
        make(store)

        def work(actor: Actor, job: str = job) -> None:
            seen.update(use(actor, store, references, job, clock))

        def discard(actor: Actor) -> None:
            Keeper(actor.on(store), actor.on(references), clock=clock).discard(ADDRESS, unused_since=clock() + 1e9)

        user, deleter = Actor(work), Actor(discard)
        for count in before:
            for _ in range(count):
                user.step()
            deleter.step()
        deleter.kill()
        for _ in range(20):
            user.step()
        if not user.done:
            # It waits for a dead deleter, and takes over in the end.
            assert dies in (1, 2, 3)
            clock.passed += TAKEOVER_SECONDS
            for _ in range(40):
                user.step()
        assert user.done and whole(store), before
        keeper = Keeper(store, references, clock=clock)
        assert not keeper.discard(ADDRESS, unused_since=clock() + 1e9)
        assert whole(store), before
        # And goes with its job.
        database.delete(job)
        assert keeper.discard(ADDRESS, unused_since=clock() + 1e9)
        assert store.find(ADDRESS) is None
        store.remove(Store.prefix(ADDRESS))
    # Each way of meeting was among them.
    assert seen == ({Kept.HELD} if dies == 0 else set(Kept))


@pytest.fixture
def shared(database_url: str) -> Iterator[Database]:
    """A database as replicas share it."""
    opened = Database(database_url)
    yield opened
    opened.close()


def test_users_and_deleters_at_once_lose_nothing(store: Store, shared: Database) -> None:
    """The same as above with real threads and transactions, for a few seconds."""
    until, counts = time.monotonic() + 3, Counter[str]()

    def user() -> None:
        keeper = Keeper(store, References(shared.engine))
        while time.monotonic() < until:
            job, kept = shared.create(SPEC, tenant="a")[0].id, Kept.GONE
            while kept is not Kept.HELD:
                if kept is Kept.GONE and store.find(ADDRESS) is None:
                    make(store)
                kept = keeper.try_keep(job, ADDRESS, role=Role.INTERMEDIATE)
                counts[kept] += 1
            counts["lost"] += not all(whole(store) for _ in range(3))
            shared.delete(job)

    def deleter() -> None:
        keeper = Keeper(store, References(shared.engine))
        while time.monotonic() < until:
            counts["discarded"] += keeper.discard(ADDRESS, unused_since=time.time() + 100)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work) for work in (user, user, deleter, deleter)]:
            done.result()
    assert counts["lost"] == 0
    assert counts[Kept.HELD] > 10 and counts["discarded"] > 10


def test_a_deleter_that_was_slow_gives_up(
    store: Store, references: References, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(store)
    keeper = Keeper(store, references, clock=clock)
    doom = references.doom

    def slow(*args: object, **named: object) -> str:
        mark = doom(*args, **named)  # type: ignore[arg-type]
        clock.passed += 100
        return mark

    monkeypatch.setattr(references, "doom", slow)
    assert not keeper.discard(ADDRESS, unused_since=clock())
    assert whole(store) and references.touch(ADDRESS) is Answer.HELD


def test_an_artifact_in_use_is_discarded_only_by_force(store: Store, keeper: Keeper, database: Database) -> None:
    make(store)
    job = database.create(SPEC, tenant="a")[0].id
    assert keeper.try_keep(job, ADDRESS, role=Role.INTERMEDIATE) is Kept.HELD
    assert not keeper.discard(ADDRESS, unused_since=time.time() + 1e9)
    assert keeper.discard(ADDRESS, unused_since=0.0, force=True)
    assert keeper.try_keep(job, ADDRESS, role=Role.INTERMEDIATE) is Kept.GONE


def test_what_was_used_lately_stays(store: Store, keeper: Keeper, references: References) -> None:
    make(store)
    references.touch(ADDRESS)
    assert not keeper.discard(ADDRESS, unused_since=time.time() - 10)
    assert keeper.discard(ADDRESS, unused_since=time.time() + 10)


def test_a_job_whose_upload_is_being_deleted_is_not_made(
    keeper: Keeper, references: References, database: Database
) -> None:
    assert references.doom("0" * 64, unused_since=time.time())
    with pytest.raises(NotFound, match="upload its files again"):
        database.create(SPEC, tenant="a", within=keeper.uploads(["0" * 64]))
    assert database.page(tenant="a", size=10) == [] and references.held() == []


def test_references_end_with_their_job_and_with_retention(references: References, database: Database) -> None:
    kept, gone, over = (database.create(SPEC, tenant="a")[0].id for _ in range(3))
    for job in (kept, gone, over):
        references.claim(job, ADDRESS, role=Role.INTERMEDIATE)
    references.claim(over, "f" * 64, role=Role.DELIVERABLE)
    database.advance(over, JobState.CANCELLED, among=[JobState.QUEUED])
    database.delete(gone)
    assert references.expire(intermediates=100, deliverables=100) == 1
    references._clock.passed = 200  # type: ignore[attr-defined]
    assert references.expire(intermediates=100, deliverables=1000) == 1
    assert [(held.job, held.role) for held in references.held()] == [
        (kept, Role.INTERMEDIATE), (over, Role.DELIVERABLE),
    ]  # fmt: skip
    assert references.expire(intermediates=100, deliverables=100) == 1
    assert [held.job for held in references.held()] == [kept]


def test_a_full_store_takes_nothing_more(store: Store, references: References) -> None:
    keeper = Keeper(store, references, limit_bytes=1000)
    keeper.require_room()
    keeper.require_room(more=1000)
    with pytest.raises(OutOfSpace, match="OMNIMATTE_STORE_LIMIT"):
        keeper.require_room(more=1001)
    references.weigh({ADDRESS: 600, "f" * 64: 400})
    with pytest.raises(OutOfSpace, match="delete jobs"):
        keeper.require_room()
    Keeper(store, references).require_room(more=10**15)


def test_of_many_replicas_one_has_the_turn(references: References, database: Database, clock: Clock) -> None:
    other = References(database.engine, clock=clock)
    assert other.identity() == references.identity()
    assert [references.turn(every=60), other.turn(every=60)] == [True, False]
    clock.passed += 61
    assert [other.turn(every=60), references.turn(every=60)] == [True, False]
