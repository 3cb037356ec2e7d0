"""Stage runs that travel to a worker, and what comes back: plain data, and where it lies in the artifact store.

A *run* is a set of shards that are sent out together; a *shard* is what one worker does, step by step; a *step* is one
stage request, whose inputs may be the outputs of earlier steps of its shard. All of it is written to the store before
any worker starts, and each worker writes there how far it is:

    staging/shards/<run>/work.json
    staging/shards/<run>/<index>-<step>.json        the newest event of that step

So nothing has to listen for a worker, and nobody who looks later has missed anything.
Must not know: who starts workers, and what a stage does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from services.artifacts import Store, digest
from services.errors import BadOption, Internal, NotFound, OmnimatteError, decode, encode
from services.stage import Progress, Request, Result, event_from_json, event_to_json

FOLDER = "staging/shards"
_RUN = re.compile(r"[0-9a-z]{8,64}")
_EARLIER = "@"


@dataclass(frozen=True)
class Step:
    """One stage request. An input that begins with "@" is the output of the step of that id: "@casper/vase",
    "@casper/background+vase#vase" for a part of one."""

    id: str
    request: Request


@dataclass(frozen=True)
class Shard:
    """What one worker does, in this order."""

    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Fault:
    """A step that has failed. final: no other attempt can make it."""

    error: OmnimatteError
    final: bool


Event = Progress | Result | Fault


def earlier(step: str, part: str = "") -> str:
    """How a request names the output of an earlier step."""
    return f"{_EARLIER}{step}#{part}" if part else f"{_EARLIER}{step}"


def resolved(request: Request, outputs: Mapping[str, str]) -> Request:
    """The request with addresses in place of earlier steps. Raises BadOption if such a step is not in `outputs`."""

    def address(where: str) -> str:
        if not where.startswith(_EARLIER):
            return where
        step, _, part = where.removeprefix(_EARLIER).partition("#")
        if step not in outputs:
            raise BadOption(f"{request.subject}: its input {where!r} is no earlier step; send the steps in order.")
        return f"{outputs[step]}/{part}" if part else outputs[step]

    return replace(request, inputs={name: address(where) for name, where in request.inputs.items()})


def needs(request: Request) -> tuple[str, ...]:
    """The earlier steps whose outputs the request names."""
    named = [where for where in request.inputs.values() if where.startswith(_EARLIER)]
    return tuple(where.removeprefix(_EARLIER).partition("#")[0] for where in named)


def key_of(request: Request) -> str:
    """What two requests share that ask for the same: 64 hex digits."""
    return digest({"stage": request.stage, "params": dict(request.params), "inputs": dict(request.inputs)})


class Mailbox:
    """A run's corner of the store."""

    def __init__(self, store: Store, run: str) -> None:
        """Raises BadOption if `run` is no name of one."""
        if not _RUN.fullmatch(run):
            raise BadOption(f"{run!r} is no name of a run; it is 8 to 64 small letters and digits.")
        self._store = store
        self._folder = f"{FOLDER}/{run}"

    def send(self, shards: Sequence[Shard]) -> None:
        """Write down what there is to do."""
        data = [
            [{"id": step.id, "request": json.loads(step.request.to_json())} for step in one.steps] for one in shards
        ]
        self._store.put(f"{self._folder}/work.json", json.dumps(data).encode())

    def work(self) -> tuple[Shard, ...]:
        """What there is to do. Raises NotFound, or BadOption for what nobody could have sent."""
        raw = self._store.read(f"{self._folder}/work.json")
        if raw is None:
            raise NotFound(f"there is no work at {self._folder}; the run is over, or the store is another one.")
        try:
            return tuple(
                Shard(tuple(Step(str(step["id"]), Request.from_json(json.dumps(step["request"]))) for step in steps))
                for steps in json.loads(raw)
            )
        except (ValueError, TypeError, KeyError) as error:
            raise BadOption(f"the work at {self._folder} is malformed ({error}); send it again.") from error

    def tell(self, index: int, step: int, event: Event) -> None:
        """Replace what is known of a step."""
        if isinstance(event, Fault):
            text = json.dumps({"kind": "fault", "error": encode(event.error), "final": event.final})
        else:
            text = event_to_json(event)
        self._store.put(self._path(index, step), text.encode())

    def news(self, index: int, step: int) -> Event | None:
        """What is known of a step; None before it has begun."""
        raw = self._store.read(self._path(index, step))
        if raw is None:
            return None
        try:
            data = json.loads(raw)
            if data.get("kind") == "fault":
                return Fault(decode(str(data["error"])), bool(data["final"]))
            return event_from_json(raw.decode())
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise Internal(f"what the worker wrote at {self._path(index, step)} cannot be read: {error}") from error

    def clear(self) -> None:
        """The run is over: leave nothing of it."""
        self._store.remove(self._folder)

    def _path(self, index: int, step: int) -> str:
        return f"{self._folder}/{index}-{step}.json"
