"""Work that travels through the store: what goes in comes out, and what could not have been sent is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.artifacts import Store
from services.errors import BadMask, BadOption, Internal, NotFound
from services.shards import Event, Fault, Mailbox, Shard, Step, earlier, key_of, needs, resolved
from services.stage import Progress, Request, Result

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
REQUESTS = st.builds(
    Request,
    stage=st.sampled_from(["casper", "omnimatte"]),
    params=st.dictionaries(st.text(max_size=8), JSON, max_size=3),
    inputs=st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3),
    subject=st.text(max_size=8),
    context=st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=2),
)


@pytest.fixture
def mailbox(tmp_path: Path) -> Mailbox:
    return Mailbox(Store(str(tmp_path)), "run12345")


@given(requests=st.lists(st.lists(REQUESTS, min_size=1, max_size=3), min_size=1, max_size=3))
def test_work_comes_out_as_it_went_in(tmp_path_factory: pytest.TempPathFactory, requests: list[list[Request]]) -> None:
    box = Mailbox(Store(str(tmp_path_factory.mktemp("store"))), "run12345")
    shards = tuple(Shard(tuple(Step(f"s{i}", one) for i, one in enumerate(steps))) for steps in requests)
    box.send(shards)
    assert box.work() == shards
    assert [step.request.context for shard in box.work() for step in shard.steps] == [
        dict(step.request.context) for shard in shards for step in shard.steps
    ]


@pytest.mark.parametrize(
    "event",
    [
        Progress(3, 10, "iterations", {"total": 0.5}, b"\x00webp"),
        Result(address="a" * 64, meta={"frames": 3}, seconds=1.5, cached=False, gpu=True),
    ],
)
def test_news_of_a_step_is_the_newest(mailbox: Mailbox, event: Event) -> None:
    assert mailbox.news(0, 1) is None
    mailbox.tell(0, 1, Progress(1, 10))
    mailbox.tell(0, 1, event)
    assert mailbox.news(0, 1) == event and mailbox.news(1, 1) is None


def test_a_fault_keeps_its_class_and_its_field(mailbox: Mailbox) -> None:
    mailbox.tell(0, 0, Fault(BadMask("it is empty; draw one.", field="objects[0].mask"), final=True))
    found = mailbox.news(0, 0)
    assert isinstance(found, Fault) and found.final
    assert isinstance(found.error, BadMask) and found.error.field == "objects[0].mask"


def test_a_run_that_is_over_leaves_nothing(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    mailbox = Mailbox(store, "run12345")
    mailbox.send([Shard((Step("a", Request("casper")),))])
    mailbox.tell(0, 0, Progress(1, 2))
    mailbox.clear()
    assert list(store.listed("staging")) == []
    with pytest.raises(NotFound, match="there is no work"):
        mailbox.work()


@pytest.mark.parametrize("text", ["", "[", "{}", '[["x"]]', '[[{"id": "a"}]]', '[[{"id": "a", "request": {}}]]', "7"])
def test_work_that_nobody_could_have_sent_is_named(tmp_path: Path, text: str) -> None:
    store = Store(str(tmp_path))
    store.put("staging/shards/run12345/work.json", text.encode())
    if text == "{}":
        assert Mailbox(store, "run12345").work() == ()
        return
    with pytest.raises(BadOption, match="is malformed"):
        Mailbox(store, "run12345").work()


@pytest.mark.parametrize("text", ["", "[]", '{"kind": "fault"}', '{"kind": "result"}', '{"kind": "progress", "x": 1}'])
def test_news_that_no_worker_wrote_is_a_fault_of_ours(tmp_path: Path, text: str) -> None:
    store = Store(str(tmp_path))
    store.put("staging/shards/run12345/0-0.json", text.encode())
    with pytest.raises(Internal, match="cannot be read"):
        Mailbox(store, "run12345").news(0, 0)


@pytest.mark.parametrize("run", ["", "../../owner", "a/b", "RUN12345", "short"])
def test_a_name_that_is_no_run_is_refused(tmp_path: Path, run: str) -> None:
    with pytest.raises(BadOption, match="no name of a run"):
        Mailbox(Store(str(tmp_path)), run)


def test_earlier_steps_become_their_addresses() -> None:
    asked = Request("ssr", inputs={"video": "f" * 64, "casper": earlier("casper/x+y", "y"), "plate": earlier("plate")})
    assert sorted(needs(asked)) == ["casper/x+y", "plate"]
    assert resolved(asked, {"casper/x+y": "c" * 64, "plate": "p" * 64}).inputs == {
        "video": "f" * 64,
        "casper": f"{'c' * 64}/y",
        "plate": "p" * 64,
    }
    with pytest.raises(BadOption, match="is no earlier step"):
        resolved(asked, {"plate": "p" * 64})


@given(request=REQUESTS)
def test_requests_for_the_same_have_the_same_key_whoever_asks(request: Request) -> None:
    assert key_of(request) == key_of(replace(request, subject="other", context={"job": "other"}))
    assert key_of(request) == key_of(Request.from_json(json.dumps(json.loads(request.to_json()))))
    assert key_of(request) != key_of(replace(request, params={**request.params, "more": 1, "and more": 2}))
