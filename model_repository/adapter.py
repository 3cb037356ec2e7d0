"""The one bridge between Triton's Python backend and a stage.

Every `model_repository/<stage>/1/model.py` is two lines on `stage_model`. A model takes one `request` (the JSON of
`services.stage.Request`) and answers with a stream of `event`s (progress, progress, ..., result), or with one Triton
error whose message is `services.errors.encode`d. Nothing in a request is trusted to say where the artifacts are: that
comes from the server's own environment.

    OMNIMATTE_STORE     the artifact store: a folder, or s3://bucket/prefix           (required)
    OMNIMATTE_THREADS   threads that one model instance computes with, default 1
    OMNIMATTE_PROFILE   which models are loaded at the start (services/profiles.py), default compact
    OMNIMATTE_WEIGHTS   folder of published weights, where a profile or a request needs them
    OMNIMATTE_NETWORKS  where the stages' small networks run, see networks.py
    OMNIMATTE_LOG_FORMAT   text (default) or json: log lines of the stages
    OTEL_EXPORTER_OTLP_ENDPOINT   where traces go; default: nowhere

Texts travel as UINT8 tensors, see tensors.py.

Must not know: what a stage computes, who calls, and what will be called next. Runs only inside Triton's stub process.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from model_repository import networks
from model_repository.tensors import to_array, to_tensor
from services import registry
from services.artifacts import Store
from services.errors import BadOption, Internal, OmnimatteError, encode, from_exception
from services.observe import logs, tracing
from services.profiles import preloaded
from services.stage import Progress, Request, Result, Stage, event_to_json, execute

PROGRESS_SECONDS = 0.2
"""Progress events of one request are at least this far apart; only the newest of those in between is sent."""
CANCEL_POLL_SECONDS = 0.05
"""Asking Triton whether the caller is gone crosses a process boundary: a stage may check more often, we do not ask."""

_TRITON_CODES = {
    "INVALID_ARGUMENT": "INVALID_ARG",
    "NOT_FOUND": "NOT_FOUND",
    "ALREADY_EXISTS": "ALREADY_EXISTS",
    "CANCELLED": "CANCELLED",
    "UNAVAILABLE": "UNAVAILABLE",
}


def stage_model(name: str, *, factory: Callable[[], Stage] | None = None) -> type:
    """The class that Triton wants to find as `TritonPythonModel` in the `model.py` of stage `name`.

    Args:
        name: the stage; requests for another one are refused.
        factory: makes the stage; default: the registry.
    """

    class StageModel:
        def initialize(self, args: dict[str, str]) -> None:
            logs.configure(logs.chosen())
            self._stop_tracing = tracing.start(f"omnimatte-{name}", **{"omnimatte.stage": name})
            self._store = Store(_required("OMNIMATTE_STORE"))
            threads = _use_threads_from_environment()
            self._stage = (
                factory() if factory is not None else registry.create(name, open_network=networks.configured())
            )
            self._stage.load(preloaded(name))
            _limit_loaded_libraries(threads)
            pb_utils.Logger.log_info(f"{args['model_instance_name']}: stage {name} is loaded, {threads} thread(s)")

        def execute(self, requests: list[Any]) -> None:
            for request in requests:
                _answer(request, name=name, stage=self._stage, store=self._store)

        def finalize(self) -> None:
            self._stop_tracing()

    StageModel.__name__ = StageModel.__qualname__ = "TritonPythonModel"
    return StageModel


class Events:
    """What goes back to the caller of one request. Exactly one `finish` or `fail` ends it."""

    def __init__(self, sender: Any) -> None:
        self._sender = sender
        self._pending: Progress | None = None
        self._next_progress = 0.0
        self._next_poll = 0.0
        self._cancelled = False

    def progress(self, progress: Progress) -> None:
        self._pending = progress
        self._flush(force=False)

    def cancelled(self) -> bool:
        """Whether the caller is gone. Called between steps, so it also sends progress that had to wait."""
        self._flush(force=False)
        now = time.monotonic()
        if not self._cancelled and now >= self._next_poll:
            self._cancelled = bool(self._sender.is_cancelled())
            self._next_poll = now + CANCEL_POLL_SECONDS
        return self._cancelled

    def finish(self, result: Result) -> None:
        self._flush(force=True)
        self._send(_event(result), last=True)

    def fail(self, error: OmnimatteError) -> None:
        code = getattr(pb_utils.TritonError, _TRITON_CODES.get(error.status, "INTERNAL"))
        self._send(pb_utils.InferenceResponse([], pb_utils.TritonError(encode(error), code)), last=True)

    def _flush(self, *, force: bool) -> None:
        now = time.monotonic()
        if self._pending is not None and (force or now >= self._next_progress):
            self._send(_event(self._pending), last=False)
            self._pending = None
            self._next_progress = now + PROGRESS_SECONDS

    def _send(self, response: Any, *, last: bool) -> None:
        # Without the final flag Triton would hold the request, and its caller, for ever.
        self._sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL if last else 0)


def _answer(request: Any, *, name: str, stage: Stage, store: Store) -> None:
    events = Events(request.get_response_sender())
    subject = name
    try:
        asked = Request.from_json(_text(pb_utils.get_input_tensor_by_name(request, "request")))
        if asked.stage != name:
            raise BadOption(
                f"this model runs the stage {name!r}, not {asked.stage!r}; send it to the model of that name."
            )
        subject = asked.subject or name
        events.finish(execute(stage, asked, store, on_progress=events.progress, cancelled=events.cancelled))
    except BaseException as error:  # SystemExit from a library must not take the model instance down
        failure = from_exception(error, doing=subject)
        if isinstance(failure, Internal):
            pb_utils.Logger.log_error(f"{subject}: {traceback.format_exc()}")
        events.fail(failure)


def _text(tensor: Any) -> str:
    try:
        return to_array(tensor).tobytes().decode()
    except UnicodeDecodeError as error:
        raise BadOption(
            f"the stage request is not UTF-8 ({error.reason}); send the JSON of a stage request."
        ) from error


def _event(event: Progress | Result) -> Any:
    # A bytearray, because DLPack does not export memory that must not be written to.
    text = np.frombuffer(bytearray(event_to_json(event).encode()), np.uint8)
    return pb_utils.InferenceResponse([to_tensor("event", text)])


def _required(variable: str) -> str:
    value = os.environ.get(variable, "")
    if not value:
        raise BadOption(f"the environment variable {variable} is not set; set it where the model server is started.")
    return value


def _use_threads_from_environment() -> int:
    """Read OMNIMATTE_THREADS and hand it to every library that is not loaded yet."""
    text = os.environ.get("OMNIMATTE_THREADS", "1")
    if not text.isdigit() or int(text) < 1:
        raise BadOption(f"OMNIMATTE_THREADS is {text!r}; set it to a whole number of at least 1.")
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = text
    return int(text)


def _limit_loaded_libraries(threads: int) -> None:
    # Both have pools of their own that do not ask OpenMP. Neither is imported for this: most stages need only one.
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(threads)
