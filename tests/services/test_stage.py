"""A stage runs once per address, tells how far it is, stops when asked, and leaves nothing half-made."""

from pathlib import Path

import pytest

from services.artifacts import Store
from services.errors import BadOption, Cancelled, Internal, NotFound, OmnimatteError, Unavailable
from services.stage import Params, Progress, Request, Result, Stage, Work, event_from_json, event_to_json, execute


class Toy(Stage):
    name = "toy"
    version = 1

    def __init__(self) -> None:
        self.runs = 0

    def run(self, work: Work) -> Params:
        self.runs += 1
        work.draft.put("file", b"data")
        for i in range(3):
            work.check()
            work.progress(i + 1, 3, "steps")
        if work.params.get("fail"):
            raise ValueError("boom")
        return {"inputs": sorted(work.inputs)}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


class Counter(Stage):
    """Counts to its parameter, saving how far it is; `stop` ends an attempt at a number, with that error."""

    name, version = "counter", 1

    def __init__(self) -> None:
        self.counted: list[int] = []
        self.stop: tuple[int, Exception] | None = None

    def run(self, work: Work) -> Params:
        for i in range(int(work.checkpoint.load() or b"0"), work.params["to"]):
            if self.stop is not None and i == self.stop[0]:
                raise self.stop[1]
            self.counted.append(i)
            work.checkpoint.save(str(i + 1).encode())
        return {}


@pytest.mark.parametrize(
    ("error", "counted"),
    [
        (Cancelled("stop."), [0, 1, 2, 3, 4]),
        (Unavailable("gone."), [0, 1, 2, 3, 4]),
        # What was saved may be what broke it.
        (ValueError("boom"), [0, 1, 2, 0, 1, 2, 3, 4]),
    ],
)
def test_the_next_attempt_goes_on_from_what_was_saved(
    store: Store, tmp_path: Path, error: Exception, counted: list[int]
) -> None:
    counter = Counter()
    counter.stop = (3, error)
    with pytest.raises(OmnimatteError):
        execute(counter, Request("counter", {"to": 5}), store)
    counter.stop = None
    execute(counter, Request("counter", {"to": 5}), store)
    assert counter.counted == counted
    assert not list(tmp_path.rglob("checkpoint"))


def test_the_second_call_is_a_look_up(store: Store) -> None:
    toy = Toy()
    first = execute(toy, Request("toy", {"a": 1}), store)
    second = execute(toy, Request("toy", {"a": 1}), store)
    assert (first.cached, second.cached) == (False, True)
    assert (first.address, first.meta) == (second.address, second.meta)
    assert toy.runs == 1


def test_parameters_inputs_version_and_weights_each_change_the_address(store: Store) -> None:
    class Newer(Toy):
        version = 2

    class Heavier(Toy):
        def weights(self, params: Params) -> str:
            return "abc"

    upload = store.upload(iter([b"x"]), filename="x").address
    runs = [
        execute(Toy(), Request("toy", {"a": 1}), store),
        execute(Toy(), Request("toy", {"a": 2}), store),
        execute(Toy(), Request("toy", {"a": 1}, {"in": upload}), store),
        execute(Newer(), Request("toy", {"a": 1}), store),
        execute(Heavier(), Request("toy", {"a": 1}), store),
    ]
    assert len({run.address for run in runs}) == len(runs)


def test_the_name_of_the_work_is_not_part_of_the_address(store: Store) -> None:
    one = execute(Toy(), Request("toy", subject="casper/a"), store)
    assert execute(Toy(), Request("toy", subject="casper/b"), store).cached
    assert one.meta == {"inputs": []}


def test_progress_arrives_in_order(store: Store) -> None:
    events: list[Progress] = []
    execute(Toy(), Request("toy"), store, on_progress=events.append)
    assert [(e.done, e.total, e.note) for e in events] == [(1, 3, "steps"), (2, 3, "steps"), (3, 3, "steps")]


def test_cancelling_stops_at_the_next_step_and_leaves_nothing(store: Store, tmp_path: Path) -> None:
    events: list[Progress] = []
    with pytest.raises(Cancelled, match="casper/vase"):
        execute(
            Toy(),
            Request("toy", subject="casper/vase"),
            store,
            on_progress=events.append,
            cancelled=lambda: len(events) == 2,
        )
    assert len(events) == 2
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_a_fault_in_a_stage_names_the_work_and_leaves_nothing(store: Store, tmp_path: Path) -> None:
    with pytest.raises(Internal, match="depth: ValueError: boom"):
        execute(Toy(), Request("toy", {"fail": True}, subject="depth"), store)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_a_missing_input_is_said_so(store: Store) -> None:
    with pytest.raises(NotFound):
        execute(Toy(), Request("toy", inputs={"video": "0" * 64}), store)


def test_requests_and_events_survive_json() -> None:
    request = Request("toy", {"a": [1, {"b": None}]}, {"video": "f" * 64}, "casper/é")
    assert Request.from_json(request.to_json()) == request
    for event in (
        Progress(1, 2, "x"),
        Progress(1, 2, "x", {"mask": 0.5}, b"\x00\xff"),
        Result("f" * 64, {"n": 1}, 0.5, False),
    ):
        assert event_from_json(event_to_json(event)) == event


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"stage": "x", "params": 3, "inputs": {}}', '{"stage": 1}'])
def test_malformed_requests_are_refused(text: str) -> None:
    with pytest.raises(BadOption):
        Request.from_json(text)
