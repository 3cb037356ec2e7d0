"""A worker is a program that ends: its exit status says what to do next, and the store says how far it got."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from services.artifacts import Store
from services.errors import BadMask, Internal
from services.shards import Fault, Mailbox, Shard, Step, earlier
from services.stage import Progress, Request, Result

ROOT = Path(__file__).resolve().parents[2]
RUN = "run12345"


def step(name: str, *needed: str, **params: Any) -> Step:
    inputs = {one: earlier(one) for one in needed}
    return Step(name, Request("omnimatte", {"name": name, **params}, inputs, name))


class Site:
    """A store with a run in it, and workers on it."""

    def __init__(self, folder: Path, *shards: list[Step]) -> None:
        self.store = Store(str(folder / "store"))
        self.mailbox = Mailbox(self.store, RUN)
        self.mailbox.send([Shard(tuple(steps)) for steps in shards])
        self._log = folder / "worker.log"

    def start(self, index: int = 0, **environment: str) -> subprocess.Popen[bytes]:
        given = {
            "OMNIMATTE_STORE": self.store.url,
            "OMNIMATTE_RUN": RUN,
            "JOB_COMPLETION_INDEX": str(index),
            "WORKER_LOG": str(self._log),
            "OMP_NUM_THREADS": "1",
            **environment,
        }
        command = [sys.executable, "-m", "tests.cluster.worker"]
        return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **given}, stderr=subprocess.DEVNULL)

    def status(self, index: int = 0, **environment: str) -> int:
        return self.start(index, **environment).wait(30)

    def computed(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []


def test_its_own_shard_is_done_step_by_step(tmp_path: Path) -> None:
    site = Site(tmp_path, [step("other")], [step("a"), step("b", "a")])
    assert site.status(1) == 0
    assert site.computed() == ["a step 0", "b step 0"]
    first, second = (site.mailbox.news(1, number) for number in range(2))
    assert isinstance(first, Result) and isinstance(second, Result)
    assert site.store.get(second.address).manifest.request["inputs"] == {"a": first.address}
    assert site.mailbox.news(0, 0) is None
    # Another attempt finds all of it.
    assert site.status(1) == 0 and len(site.computed()) == 2


def test_told_to_stop_it_leaves_a_checkpoint_and_the_next_goes_on(tmp_path: Path) -> None:
    site = Site(tmp_path, [step("a", steps=6, pause=0.2)])
    process = site.start()
    until = time.monotonic() + 20
    while len(site.computed()) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 75
    assert isinstance(site.mailbox.news(0, 0), Progress)
    made = len(site.computed())
    assert 2 <= made < 6
    assert site.status() == 0
    assert site.computed() == [f"a step {i}" for i in range(6)]


@pytest.mark.parametrize(
    ("end", "status", "error", "final"), [("bad", 65, BadMask, True), ("unthought", 70, Internal, False)]
)
def test_how_it_failed_is_told_twice_over(tmp_path: Path, end: str, status: int, error: type, final: bool) -> None:
    site = Site(tmp_path, [step("a", end=end)])
    assert site.status() == status
    news = site.mailbox.news(0, 0)
    assert isinstance(news, Fault) and isinstance(news.error, error) and news.final is final


def test_an_outage_is_nobodys_fault(tmp_path: Path) -> None:
    site = Site(tmp_path, [step("a", end="away", times=1)])
    assert site.status() == 75
    assert not isinstance(site.mailbox.news(0, 0), Fault)
    assert site.status() == 0


def test_a_failed_step_ends_only_what_needs_it(tmp_path: Path) -> None:
    site = Site(tmp_path, [step("a"), step("b", "a", end="bad"), step("c", "b"), step("d", "a")])
    assert site.status() == 65
    assert isinstance(site.mailbox.news(0, 1), Fault)
    assert site.mailbox.news(0, 2) is None
    assert isinstance(site.mailbox.news(0, 3), Result)


def test_what_another_attempt_may_make_is_worth_one(tmp_path: Path) -> None:
    site = Site(tmp_path, [step("a", end="bad"), step("b", end="unthought", times=1)])
    assert site.status() == 70
    assert site.status() == 65
    assert isinstance(site.mailbox.news(0, 1), Result)


@pytest.mark.parametrize(
    "environment",
    [
        {"OMNIMATTE_RUN": ""},
        {"OMNIMATTE_STORE": ""},
        {"OMNIMATTE_RUN": "../owner"},
        {"OMNIMATTE_RUN": "another12"},
        {"JOB_COMPLETION_INDEX": "7"},
        {"JOB_COMPLETION_INDEX": "one"},
    ],
)
def test_what_it_cannot_begin_with_is_not_tried_again(tmp_path: Path, environment: dict[str, str]) -> None:
    assert Site(tmp_path, [step("a")]).status(**environment) == 65
