"""Collecting and checking a real folder: what goes, what stays, and what `omnimatte store` says."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.cli import main
from orchestrator.collect import Collected, Collector, Removed
from orchestrator.db import Database
from orchestrator.hygiene import Hygiene
from orchestrator.keep import Keeper
from orchestrator.records import JobState
from orchestrator.references import References, Role
from orchestrator.spec import from_dict
from services.artifacts import Store, digest
from services.errors import BadOption, Conflict

HOUR, DAY = 3600.0, 86400.0
FILE = {"digest": "0" * 64}
SPEC = from_dict({"source": FILE, "objects": [{"label": "vase", "mask": FILE}]})


@dataclass
class World:
    """A home folder with a store and its database, and what was removed."""

    home: Path
    store: Store
    database: Database
    references: References
    removed: list[Removed]

    def collect(self, *, dry_run: bool = False, **hygiene: float) -> Collected:
        return self.collector(**hygiene).collect(dry_run=dry_run)

    def collector(self, **hygiene: float) -> Collector:
        return Collector(
            store=self.store,
            database=self.database,
            references=self.references,
            keeper=Keeper(self.store, self.references),
            hygiene=Hygiene(**hygiene),  # type: ignore[arg-type]
            on_removed=self.removed.append,
        )

    def make(self, name: str, *, old: bool = True) -> str:
        """An artifact of two files and 300 bytes of data."""
        address = digest(name)
        draft = self.store.draft(address, stage="toy")
        draft.put("data", b"x" * 100)
        draft.put("deep/data", b"x" * 200)
        draft.commit(request={}, meta={})
        if old:
            self.age(Store.prefix(address))
        return address

    def age(self, path: str, seconds: float = 10 * DAY) -> None:
        """Everything below `path` was written that long ago."""
        place = Path(self.store.url) / path
        for file in [place, *place.rglob("*")]:
            os.utime(file, (time.time() - seconds,) * 2)

    def job(self, *states: JobState, result: str = "") -> str:
        job = self.database.create(SPEC, tenant="a")[0].id
        for state in states:
            self.database.advance(job, state, among=list(JobState), result=result)
        return job

    def files(self) -> set[str]:
        return {path for path, _, _ in self.store.listed("")} - {"owner"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    store = Store(str(tmp_path / "store"))
    database = Database(f"sqlite:///{tmp_path / 'orchestrator.sqlite'}")
    world = World(tmp_path, store, database, References(database.engine), [])
    world.collector().own()
    yield world
    database.close()


def test_only_what_no_job_needs_goes(world: World) -> None:
    needed, unused = world.make("needed"), world.make("unused")
    world.references.claim(world.job(JobState.RUNNING), needed, role=Role.INTERMEDIATE)
    done = world.collect()
    assert [removed.kind for removed in world.removed] == ["artifact"]
    assert done.count == 1 and done.size > 300 and done.kept > 300
    assert world.store.find(needed) is not None and world.store.find(unused) is None
    assert not any(unused in path for path in world.files())
    # What is known of its size is what is there.
    assert world.references.size() == 300


def test_what_is_young_stays(world: World) -> None:
    young = world.make("young", old=False)
    old = world.make("touched")
    world.references.touch(old)
    assert world.collect().count == 0
    assert world.store.find(young) is not None and world.store.find(old) is not None


def test_what_attempts_and_uploads_left_goes(world: World) -> None:
    published = world.make("published")
    world.references.claim(world.job(), published, role=Role.INTERMEDIATE)
    for name in (published, digest("never published")):
        world.store.draft(name, stage="toy").put("data", b"left")
    world.store.checkpoint(digest("never published")).save(b"state")
    world.store.put("staging/broken", b"half a file")
    (Path(world.store.url) / "staging" / "killed#1").write_bytes(b"half")
    assert world.collect().count == 0
    world.age(".")
    world.collect()
    kinds = sorted(removed.kind.value for removed in world.removed)
    assert kinds == ["attempt", "attempt", "attempt", "checkpoint", "upload"]
    found = world.store.find(published)
    assert found is not None and found.read("deep/data") == b"x" * 200
    assert len(world.files()) == 3 and not (Path(world.store.url) / "staging" / "killed#1").exists()


def test_an_attempt_that_may_be_under_way_stays_however_old(world: World) -> None:
    job = world.job(JobState.RUNNING)
    world.store.draft(digest("long"), stage="toy").put("data", b"under way")
    world.store.checkpoint(digest("long")).save(b"state")
    world.age(".", HOUR / 60)
    assert world.collect(grace_seconds=0.0).count == 0
    world.database.advance(job, JobState.CANCELLED, among=[JobState.RUNNING])
    world.age(".", HOUR)
    assert world.collect(grace_seconds=0.0).count == 2


def test_results_of_ended_jobs_outlast_their_intermediates(world: World) -> None:
    step, result = world.make("step"), world.make("result")
    job = world.job(JobState.RUNNING)
    world.references.claim(job, step, role=Role.INTERMEDIATE)
    world.references.claim(job, result, role=Role.DELIVERABLE)
    world.database.advance(job, JobState.SUCCEEDED, among=[JobState.RUNNING], result=result)
    time.sleep(0.01)
    assert world.collect(grace_seconds=0.0).count == 0
    assert world.collect(grace_seconds=0.0, keep_intermediates_seconds=0.0).count == 1
    assert world.store.find(step) is None and world.store.find(result) is not None
    assert world.collect(grace_seconds=0.0, keep_intermediates_seconds=0.0, keep_results_seconds=0.0).count == 1
    assert world.files() == set()


def test_a_dry_run_changes_nothing(world: World) -> None:
    world.make("unused")
    before = world.files()
    assert world.collect(dry_run=True).count == 1 and world.files() == before
    assert world.collect().count == 1


def test_jobs_from_before_there_were_references_keep_their_results(world: World) -> None:
    result = world.make("result")
    world.job(JobState.RUNNING, JobState.SUCCEEDED, result=result)
    assert world.collect().count == 0
    assert {(held.address, held.role) for held in world.references.held()} == {
        (result, Role.DELIVERABLE), ("0" * 64, Role.UPLOAD),
    }  # fmt: skip


def test_another_databases_store_is_not_collected(world: World, tmp_path: Path) -> None:
    world.make("unused")
    other = Database(f"sqlite:///{tmp_path / 'other.sqlite'}")
    collector = Collector(
        store=world.store, database=other, references=(references := References(other.engine)),
        keeper=Keeper(world.store, references), hygiene=Hygiene(),
    )  # fmt: skip
    for attempt in (collector.own, collector.collect):
        with pytest.raises(Conflict, match="another server's database"):
            attempt()
    other.close()
    assert len(world.files()) == 3


def test_the_command_collects(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    unused = world.make("unused")
    assert main(["store", "collect", "--dry-run", "--home", str(world.home)]) == 0
    assert "would go" in capsys.readouterr().out and world.store.find(unused) is not None
    assert main(["store", "collect", "--home", str(world.home)]) == 0
    out = capsys.readouterr().out
    assert f"artifact  {Store.prefix(unused)}" in out and "1 things" in out
    assert main(["store", "usage", "--home", str(world.home)]) == 0
    assert "0 B, limit none" in capsys.readouterr().out


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = str(tmp_path / "nothing")
    assert main(["store", "collect", "--home", home]) == 3
    assert main(["store", "fsck", "--home", home, "--database", "what?"]) == 3
    assert not (tmp_path / "nothing").exists()
    assert "--database" in capsys.readouterr().err


def fsck(world: World, *more: str) -> int:
    return main(["store", "fsck", "--home", str(world.home), *more])


def test_a_whole_store_has_no_faults(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.make("one")
    world.store.upload([b"file"], filename="clip.mp4")
    world.store.draft(digest("under way"), stage="toy").put("data", b"young")
    assert fsck(world) == 0
    assert capsys.readouterr().out == "2 artifacts checked, 0 faults found, 0 left\n"


BAD_MANIFESTS = {
    "empty": b"",
    "no JSON": b"\x00\xff" * 100,
    "a list": b"[1, 2]",
    "null": b"null",
    "too little": b"{}",
    "too much": b'{"address": "%s", "stage": "", "root": "", "more": 1}',
    "another's": json.dumps({"address": "f" * 64, "stage": "toy", "root": "ff"}).encode(),
    "leads out": b'{"address": "%s", "stage": "toy", "root": "../../etc"}',
    "bad sizes": b'{"address": "%s", "stage": "toy", "root": "R", "files": {"data": "big"}}',
    "negative": b'{"address": "%s", "stage": "toy", "root": "R", "files": {"data": -1}}',
    "infinite": b'{"address": "%s", "stage": "toy", "root": "R", "files": {"data": 1e999}}',
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("kind", BAD_MANIFESTS)
def test_a_manifest_that_is_none_is_found_and_repaired(
    world: World, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    address = world.make("bad")
    content = BAD_MANIFESTS[kind].replace(b"%s", address.encode())
    content = content.replace(b'"R"', json.dumps(f"{Store.prefix(address)}/attempt").encode())
    world.store.put(f"{Store.prefix(address)}/manifest.json", content)
    assert fsck(world) == 1
    assert f"unreadable: {Store.prefix(address)}/manifest.json" in capsys.readouterr().out
    # Collecting beside it does no harm.
    assert world.collect(keep_intermediates_seconds=math.inf).count in (0, 1, 2)
    fsck(world, "--repair")
    # Its data is nobody's now.
    fsck(world, "--repair")
    assert fsck(world) == 0 and not any(path.startswith(Store.prefix(address)) for path in world.files())


def test_data_that_is_missing_or_of_another_size_is_found(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    missing, changed, array, gone = (world.make(name) for name in ("missing", "changed", "array", "gone"))
    whole = world.make("whole")
    roots = {one: world.store.get(one).manifest.root for one in (missing, changed, array, gone)}
    world.store.remove_object(f"{roots[missing]}/deep/data")
    world.store.put(f"{roots[changed]}/data", b"x" * 99)
    world.store.put(f"{roots[array]}/video/c/0", b"a chunk that was not there")
    world.store.remove(roots[gone])
    assert fsck(world) == 1
    out = capsys.readouterr().out
    assert "deep/data is missing" in out and "data has 99 bytes instead of 100" in out
    assert "its data has 326 bytes instead of 300" in out and "5 artifacts checked, 4 faults found, 4 left" in out
    assert fsck(world, "--repair") == 0
    assert [world.store.find(one) for one in (missing, changed, array, gone)] == [None] * 4
    assert world.store.find(whole) is not None
    assert fsck(world) == 0


def test_orphans_are_found_and_repaired(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.store.draft(digest("killed"), stage="toy").put("data", b"left")
    world.store.checkpoint(digest("killed")).save(b"state")
    world.store.put("staging/broken", b"half a file")
    (Path(world.store.url) / "staging" / "killed#1").write_bytes(b"half")
    world.age(".")
    assert fsck(world) == 1
    assert capsys.readouterr().out.count("orphan: ") == 4
    assert fsck(world, "--repair") == 0 and fsck(world) == 0
    assert world.files() == set()


def test_what_a_job_needs_and_is_not_there_is_lost(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    ended, live = world.job(JobState.CANCELLED), world.job(JobState.RUNNING)
    for job in (ended, live):
        world.references.claim(job, digest("lost"), role=Role.INTERMEDIATE)
    assert fsck(world) == 1
    assert capsys.readouterr().out.count("lost: ") == 2
    # A job under way makes it again: its reference must not go.
    assert fsck(world, "--repair") == 1
    assert [held.job for held in world.references.held()] == [live]


def test_settings_are_read_from_the_environment() -> None:
    read = Hygiene.configured(
        {"OMNIMATTE_STORE_LIMIT": "1.5TB", "OMNIMATTE_COLLECT_EVERY": "never", "OMNIMATTE_KEEP_RESULTS": "30d"}
    )
    assert read == Hygiene(limit_bytes=1_500_000_000_000, collect_seconds=math.inf, keep_results_seconds=30 * DAY)
    assert Hygiene.configured({}) == Hygiene()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("OMNIMATTE_STORE_LIMIT", "much"), ("OMNIMATTE_STORE_LIMIT", "-1GB"), ("OMNIMATTE_STORE_LIMIT", "0"),
        ("OMNIMATTE_STORE_LIMIT", "1K"), ("OMNIMATTE_COLLECT_EVERY", "1"), ("OMNIMATTE_COLLECT_EVERY", "0s"),
        ("OMNIMATTE_COLLECT_GRACE", "forever"), ("OMNIMATTE_KEEP_RESULTS", "-1d"),
        ("OMNIMATTE_KEEP_INTERMEDIATES", "nan"), ("OMNIMATTE_KEEP_INTERMEDIATES", "1e9d"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(name: str, text: str) -> None:
    with pytest.raises(BadOption):
        Hygiene.configured({name: text})
