"""Whatever the order of jobs that start, finish, are deleted and die, and of collections that die: nothing that a live
job refers to is lost, and what nobody refers to goes in the end."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
import time
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

sys.path.insert(0, str(Path(__file__).parent))

from actors import Actor

from orchestrator.collect import Collector
from orchestrator.db import Database
from orchestrator.fsck import _wrong
from orchestrator.hygiene import Hygiene
from orchestrator.keep import Keeper, Kept
from orchestrator.records import JobState
from orchestrator.references import Answer, References, Role
from orchestrator.spec import from_dict
from services.artifacts import Draft, Manifest, Store
from services.errors import NotFound
from services.store_walk import manifest_at, shelf_at

GRACE, KEEP = 100.0, 300.0
ADDRESSES = [hashlib.sha256(name.encode()).hexdigest() for name in "ab"]
ENDED = [JobState.SUCCEEDED, JobState.CANCELLED]


class Interleavings(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.passed = 0.0
        self.store = Store(f"{self.folder}/store")
        self.database = Database(f"sqlite:///{self.folder}/jobs.sqlite")
        self.references = References(self.database.engine, clock=self.clock)
        self.hygiene = Hygiene(grace_seconds=GRACE, keep_intermediates_seconds=KEEP)
        self.collector_of(self.store, self.references).own()
        self.actors: dict[str, Actor] = {}
        self.plans: dict[str, list[str]] = {}
        self.held: dict[str, set[str]] = {}
        self.starting: list[Actor] = []
        self.collections: list[Actor] = []
        self.waited = 0.0

    def clock(self) -> float:
        return time.time() + self.passed

    def keeper_of(self, store: Store, references: References) -> Keeper:
        return Keeper(store, references, clock=self.clock)

    def collector_of(self, store: Store, references: References) -> Collector:
        keeper = self.keeper_of(store, references)
        return Collector(
            store=store, database=self.database, references=references, keeper=keeper, hygiene=self.hygiene,
            clock=self.clock,
        )  # fmt: skip

    # What happens to jobs.

    @rule(content=st.sampled_from([b"one", b"two"]), plan=st.lists(st.sampled_from(ADDRESSES), min_size=1, unique=True))
    def a_client_sends_a_file_and_a_job(self, content: bytes, plan: list[str]) -> None:
        def work(actor: Actor) -> None:
            store, references = actor.on(self.store), actor.on(self.references)
            keeper = self.keeper_of(store, references)
            address = store.upload([content], filename="clip.mp4").address
            if references.touch(address) is not Answer.HELD or store.find(address) is None:
                return
            spec = from_dict({"source": {"digest": address}, "objects": [{"label": "a", "mask": {"digest": address}}]})
            try:
                job, _ = actor.on(self.database).create(
                    spec, tenant="a", within=self.keeper_of(self.store, self.references).uploads([address])
                )
            except NotFound:
                return
            if store.find(address) is None:
                self.database.delete(job.id)
                return
            self.held[job.id], self.plans[job.id] = {address}, plan
            self.actors[job.id] = actor
            self.run(job.id, store, keeper, references)

        self.starting = [actor for actor in self.starting if not actor.done]
        if len(self.starting) < 3:
            self.starting.append(Actor(work))

    def run(self, job: str, store: Store, keeper: Keeper, references: References) -> None:
        self.database.advance(job, JobState.RUNNING, among=[JobState.QUEUED, JobState.RUNNING])
        for address in self.plans[job]:
            role = Role.DELIVERABLE if address == self.plans[job][-1] else Role.INTERMEDIATE
            kept = Kept.GONE
            while kept is not Kept.HELD:
                if kept is Kept.GONE and store.find(address) is None:
                    draft = Draft(store, address, "toy")
                    draft.put("data", b"data")
                    draft.put("more", b"more")
                    draft.commit(request={}, meta={})
                kept = keeper.try_keep(job, address, role=role)
            self.held[job].add(address)
        self.database.advance(job, JobState.SUCCEEDED, among=[JobState.RUNNING], result=self.plans[job][-1])

    def chosen(self, data: st.DataObject, among: list[str]) -> str:
        return data.draw(st.sampled_from(sorted(among)))

    def live(self) -> list[str]:
        return [job for job in self.held if not self.database.get(job).state.final]

    def ended(self) -> list[str]:
        return [job for job in self.held if self.database.get(job).state.final]

    @rule(data=st.data())
    def somebody_goes_on(self, data: st.DataObject) -> None:
        """Several turns at once: most of what happens to a system is that it goes on."""
        for _ in range(data.draw(st.integers(1, 8))):
            going = [*self.starting, *self.actors.values(), *self.collections]
            going = [actor for i, actor in enumerate(going) if not actor.done and actor not in going[:i]]
            if going:
                actor = data.draw(st.sampled_from(range(len(going))))
                for _ in range(data.draw(st.integers(1, 9))):
                    going[actor].step()
                self.what_jobs_refer_to_is_there_and_whole()

    @precondition(lambda self: self.actors)
    @rule(data=st.data())
    def a_job_dies(self, data: st.DataObject) -> None:
        self.actors[self.chosen(data, list(self.actors))].kill()

    @precondition(lambda self: self.starting)
    @rule()
    def a_client_dies(self) -> None:
        self.starting.pop().kill()

    @precondition(lambda self: self.live())
    @rule(data=st.data())
    def a_job_is_resumed(self, data: st.DataObject) -> None:
        job = self.chosen(data, self.live())
        self.actors[job].kill()

        def work(actor: Actor) -> None:
            store, references = actor.on(self.store), actor.on(self.references)
            self.run(job, store, self.keeper_of(store, references), references)

        self.actors[job] = Actor(work)

    @precondition(lambda self: self.live())
    @rule(data=st.data())
    def a_job_is_cancelled(self, data: st.DataObject) -> None:
        job = self.chosen(data, self.live())
        self.actors[job].kill()
        self.database.advance(job, JobState.CANCELLED, among=[JobState.QUEUED, JobState.RUNNING])

    @precondition(lambda self: self.ended())
    @rule(data=st.data())
    def a_job_is_deleted(self, data: st.DataObject) -> None:
        self.delete(self.chosen(data, self.ended()))

    def delete(self, job: str) -> None:
        record = self.database.get(job)
        self.database.delete(job)
        self.actors.pop(job).kill()
        del self.held[job], self.plans[job]
        if record.result:
            self.keeper_of(self.store, self.references).discard(record.result, unused_since=float("inf"))

    # What happens to collections.

    @rule()
    def a_collection_begins(self) -> None:
        def work(actor: Actor) -> None:
            self.collector_of(actor.on(self.store), actor.on(self.references)).collect()

        self.collections = [actor for actor in self.collections if not actor.done]
        if len(self.collections) < 3:
            self.collections.append(Actor(work))
            if len(self.collections) == 1:
                self.waited = 0.0

    @rule(address=st.sampled_from(ADDRESSES))
    def an_artifact_is_discarded(self, address: str) -> None:
        """As a collection that has looked at it already would."""

        def work(actor: Actor) -> None:
            keeper = self.keeper_of(actor.on(self.store), actor.on(self.references))
            keeper.discard(address, unused_since=self.clock() - GRACE)

        self.collections = [actor for actor in self.collections if not actor.done]
        if len(self.collections) < 3:
            self.collections.append(Actor(work))
            if len(self.collections) == 1:
                self.waited = 0.0

    @precondition(lambda self: self.collections)
    @rule()
    def a_collection_dies(self) -> None:
        self.collections.pop(0).kill()

    @rule()
    def time_passes(self) -> None:
        # Nobody sleeps between two calls for so long that its mark is taken over.
        if self.waited < 400 or all(actor.done for actor in self.collections):
            self.passed += 200
            self.waited += 200

    @precondition(lambda self: all(actor.done for actor in self.collections))
    @rule()
    def much_time_passes(self) -> None:
        self.passed += 1000

    # What must be so.

    @invariant()
    def what_jobs_refer_to_is_there_and_whole(self) -> None:
        for job, addresses in self.held.items():
            record = self.database.get(job)
            needed = addresses if not record.state.final else {record.result} - {""}
            for address in needed:
                manifest = manifest_at(self.store, address)
                assert isinstance(manifest, Manifest), f"{job} lost {address[:6]}"
                assert _wrong(manifest, shelf_at(self.store, address).attempts.get(manifest.root)) == ""

    def teardown(self) -> None:
        try:
            for actor in [*self.collections, *self.starting, *self.actors.values()]:
                actor.kill()
            for job in self.live():
                self.database.advance(job, JobState.CANCELLED, among=[JobState.QUEUED, JobState.RUNNING])
            for job in self.ended():
                self.delete(job)
            for job in self.database.unfinished():
                # Recorded by a client's request that died: nobody has run it.
                self.database.advance(job.id, JobState.CANCELLED, among=[JobState.QUEUED])
            self.passed += 10_000
            self.collector_of(self.store, self.references).collect()
            done = self.collector_of(self.store, self.references).collect()
            left = [path for path, _, _ in self.store.listed("")]
            assert left == ["owner"] and done.kept == 0 and self.references.size() == 0
        finally:
            self.database.close()
            shutil.rmtree(self.folder)


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(
    max_examples=30,
    stateful_step_count=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
