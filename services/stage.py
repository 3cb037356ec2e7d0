"""What a stage is, and the one way to run it.

A stage is a pure function from a request (parameters and the addresses of its inputs) to an artifact. `execute` gives
it its address, looks that up, runs the stage only if nobody has, and publishes the result. Triton, a Kubernetes Job
and a test all call `execute`; none of them is known here.
"""

from __future__ import annotations

import base64
import json
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from opentelemetry.trace import SpanKind

from services.artifacts import Artifact, Checkpoint, Draft, Store, digest
from services.errors import BadOption, Cancelled, OutOfSpace, Unavailable, from_exception
from services.observe import tracing
from services.observe.about import about
from services.observe.processor import holds_gpu
from services.store_meter import Meter

_log = logging.getLogger(__name__)

Params = Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """One call of a stage, as it travels: JSON and addresses, no pixels.

    Attributes:
        stage: name of the stage.
        params: JSON values; part of the address.
        inputs: name of the input -> address of a finished artifact.
        subject: what a message or a log should call this work ("casper/vase"); not part of the address.
        context: whom it is for (services/observe/about.py), and its trace: for log lines and spans; not part of the
            address.
    """

    stage: str
    params: Params = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    subject: str = ""
    context: Mapping[str, str] = field(default_factory=dict, compare=False)

    def to_json(self) -> str:
        data = {"stage": self.stage, "params": self.params, "inputs": self.inputs, "subject": self.subject}
        return json.dumps({**data, "context": dict(self.context)} if self.context else data)

    @classmethod
    def from_json(cls, text: str) -> Request:
        """Raises BadOption if `text` is no stage request."""
        try:
            data = json.loads(text)
            return cls(
                stage=str(data["stage"]),
                params=dict(data["params"]),
                inputs={str(name): str(address) for name, address in data["inputs"].items()},
                subject=str(data.get("subject", "")),
                context={str(name): str(value) for name, value in data.get("context", {}).items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadOption(
                f"the stage request is malformed ({error}); send what orchestrator/plan.py makes."
            ) from error


@dataclass(frozen=True)
class Progress:
    """How far a stage is.

    Attributes:
        done, total: steps. note: their kind ("denoising", "frames").
        losses: of the latest step of an optimisation, by term.
        preview: what is being made as it is now, a small WebP picture; b"" if there is none.
    """

    done: int
    total: int
    note: str = ""
    losses: Mapping[str, float] = field(default_factory=dict)
    preview: bytes = b""


@dataclass(frozen=True)
class Result:
    """Where the stage's output is. `cached` tells that it was there already and nothing was computed, `gpu` that the
    process that computed it held one."""

    address: str
    meta: Params
    seconds: float
    cached: bool
    gpu: bool = False


def event_to_json(event: Progress | Result) -> str:
    """One event of the stream that every transport carries: {"kind": "progress" | "result", ...}."""
    if isinstance(event, Progress):
        return json.dumps(
            {
                "kind": "progress",
                "done": event.done,
                "total": event.total,
                "note": event.note,
                "losses": dict(event.losses),
                "preview": base64.b64encode(event.preview).decode(),
            }
        )
    return json.dumps(
        {
            "kind": "result",
            "address": event.address,
            "meta": event.meta,
            "seconds": event.seconds,
            "cached": event.cached,
            "gpu": event.gpu,
        }
    )


def event_from_json(text: str) -> Progress | Result:
    data = json.loads(text)
    kind = data.pop("kind")
    if kind == "result":
        return Result(**data)
    return Progress(**{**data, "preview": base64.b64decode(data["preview"])})


class Report(Protocol):
    """Tells how far the work is; see `Progress`."""

    def __call__(
        self, done: int, total: int, note: str = "", *, losses: Mapping[str, float] | None = None, preview: bytes = b""
    ) -> None: ...


@dataclass(frozen=True)
class Work:
    """What a stage gets to work with.

    Attributes:
        params: the request's parameters.
        inputs: its inputs, finished artifacts.
        draft: where its output goes.
        progress: call `progress(done, total, note)`, or with losses and preview, as often as convenient.
        check: call between steps; raises Cancelled when somebody asked to stop.
        checkpoint: for long runs: save here what the next attempt at the same request can go on from.
    """

    params: Params
    inputs: Mapping[str, Artifact]
    draft: Draft
    progress: Report
    check: Callable[[], None]
    checkpoint: Checkpoint


class Stage(ABC):
    """A stage. `version` is raised whenever the same request would give other pixels."""

    name: ClassVar[str]
    version: ClassVar[int]

    def weights(self, params: Params) -> str:
        """Digest of the weights that a request with `params` uses; "" for a stage that has none."""
        return ""

    def load(self, params: Params) -> None:
        """Load those weights and warm up; called before every `run`, and cheap from the second time on."""

    @abstractmethod
    def run(self, work: Work) -> Params:
        """Read `work.inputs`, write `work.draft`, return the small JSON facts of the output (its meta)."""


def address_of(stage: Stage, request: Request) -> str:
    """The address of the stage's output: digest of name, version, parameters, inputs and weights."""
    return digest(_provenance(stage, request))


def _provenance(stage: Stage, request: Request) -> dict[str, Any]:
    return {
        "stage": stage.name,
        "version": stage.version,
        "params": dict(request.params),
        "inputs": dict(request.inputs),
        "weights": stage.weights(request.params),
    }


def execute(
    stage: Stage,
    request: Request,
    store: Store,
    *,
    on_progress: Callable[[Progress], None] = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Result:
    """Run `request`, or find that it has been run.

    Raises:
        OmnimatteError: always a member of the tree. Nothing half-made stays in the store.
    """
    subject = request.subject or stage.name
    # The trace is the spans' own to tell.
    ids = {name: value for name, value in request.context.items() if name != tracing.HEADER}
    named = {f"omnimatte.{name}": value for name, value in {**ids, "stage": stage.name, "subject": subject}.items()}
    parent = request.context.get(tracing.HEADER, "")
    with about(**ids), tracing.span(stage.name, kind=SpanKind.SERVER, parent=parent, attributes=named) as span:
        try:
            result = _found_or_made(stage, request, store, subject, on_progress, cancelled)
        except Exception as error:
            failure = from_exception(error, doing=subject)
            _log.info("%s has ended: %s", subject, failure.message)
            if failure is error:
                raise  # As it is, with its cause.
            raise failure from error
        span.set_attributes({"omnimatte.address": result.address, "omnimatte.cached": result.cached})
        _log.info("%s is %s, %.3f s", subject, "found" if result.cached else "done", result.seconds)
        return result


def _found_or_made(
    stage: Stage,
    request: Request,
    store: Store,
    subject: str,
    on_progress: Callable[[Progress], None],
    cancelled: Callable[[], bool],
) -> Result:
    def check() -> None:
        if cancelled():
            raise Cancelled(f"{subject} was cancelled before it finished; send the job again to resume.")

    def progress(
        done: int, total: int, note: str = "", *, losses: Mapping[str, float] | None = None, preview: bytes = b""
    ) -> None:
        on_progress(Progress(done, total, note, losses or {}, preview))

    address = address_of(stage, request)
    found = store.find(address)
    if found is not None:
        return Result(address=address, meta=found.meta, seconds=found.manifest.seconds, cached=True)
    check()
    meter = Meter()
    metered = store.metered(meter)
    inputs = {name: metered.get(where) for name, where in request.inputs.items()}
    with tracing.span("load"):
        stage.load(request.params)
    started = time.monotonic()
    draft, checkpoint = metered.draft(address, stage=stage.name), store.checkpoint(address)
    try:
        with tracing.span("run") as span:
            meta = stage.run(Work(request.params, inputs, draft, progress, check, checkpoint))
            span.set_attributes(meter.attributes())
        check()
        seconds = time.monotonic() - started
        draft.commit(request=_provenance(stage, request), meta=meta, seconds=seconds)
    except BaseException as error:
        draft.abort()
        if not _passing(error):
            checkpoint.clear()
        raise
    checkpoint.clear()
    return Result(address=address, meta=meta, seconds=round(seconds, 3), cached=False, gpu=holds_gpu())


def _passing(error: BaseException) -> bool:
    """Whether another attempt may well succeed; what else went wrong may come from the checkpoint itself."""
    return not isinstance(error, Exception) or isinstance(error, Cancelled | Unavailable | OutOfSpace)
