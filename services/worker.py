"""One shard of a run, as a program that ends: `python -m services.worker`.

The same stages as behind Triton, without a server: it reads its shard from the store, runs its steps in order, writes
how far it is, and leaves. Its exit status tells whoever started it what to do next:

    0    every step's artifact is in the store
    65   a step can never succeed (bad input): do not try again
    75   it was told to stop, or something was out of reach: try again, it goes on from its checkpoint
    70   anything else: try again, a few times

    OMNIMATTE_STORE         the artifact store                                  (required)
    OMNIMATTE_RUN           which run                                           (required)
    JOB_COMPLETION_INDEX    which of its shards, default 0
and those of the stages themselves (model_repository/adapter.py lists them).

Must not know: who starts it.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping

from services import registry
from services.artifacts import Store
from services.errors import BadInput, BadOption, Cancelled, NotFound, OmnimatteError, OutOfSpace, Unavailable
from services.observe import logs, tracing
from services.shards import Fault, Mailbox, Shard, Step, needs, resolved
from services.stage import Progress, Stage, execute
from services.worker_status import AGAIN, DONE, FOR_GOOD, OURS

_REPORT_SECONDS = 1.0
_log = logging.getLogger(__name__)


def main(environment: Mapping[str, str] = os.environ, *, factory: Callable[[str], Stage] = registry.create) -> int:
    """Run the shard that the environment names; returns the exit status."""
    logs.configure(logs.chosen())
    stop_tracing = tracing.start("omnimatte-worker")
    stopping = threading.Event()
    # A pod is told with SIGTERM, and is killed a while later.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        store = Store(_required(environment, "OMNIMATTE_STORE"))
        mailbox = Mailbox(store, _required(environment, "OMNIMATTE_RUN"))
        return work(mailbox, store, index=_index(environment), cancelled=stopping.is_set, factory=factory)
    except OmnimatteError as error:
        _log.error("%s", error.message)
        return _status(error)
    except Exception:
        _log.exception("the worker has failed")
        return OURS
    finally:
        stop_tracing()


def work(
    mailbox: Mailbox,
    store: Store,
    *,
    index: int,
    cancelled: Callable[[], bool],
    factory: Callable[[str], Stage] = registry.create,
) -> int:
    """Run shard `index` of a run; returns the exit status.

    A step that was done by an earlier attempt is found in the store, and one under way goes on from its checkpoint.
    """
    shards = mailbox.work()
    if not 0 <= index < len(shards):
        raise BadOption(f"the run has {len(shards)} shards and none of number {index}; see JOB_COMPLETION_INDEX.")
    outputs: dict[str, str] = {}
    stages = _Stages(factory, shards[index])
    status = DONE
    for number, step in enumerate(shards[index].steps):
        if not outputs.keys() >= set(needs(step.request)):
            continue  # What it needs has failed; others may not need that.
        reporter = _Reporter(mailbox, index, number)
        try:
            request = resolved(step.request, outputs)
            result = execute(stages.of(number), request, store, on_progress=reporter.progress, cancelled=cancelled)
        except OmnimatteError as error:
            _log.info("%s: exit status %d", step.id, _status(error))
            if _status(error) == AGAIN:
                return AGAIN
            mailbox.tell(index, number, Fault(error, final=_status(error) == FOR_GOOD))
            # What another attempt could still make is worth one.
            status = OURS if OURS in (status, _status(error)) else FOR_GOOD
            continue
        outputs[step.id] = result.address
        mailbox.tell(index, number, result)
    return status


class _Stages:
    """The stages of a shard, each loaded once and dropped after its last step: a GPU need not hold all at once."""

    def __init__(self, factory: Callable[[str], Stage], shard: Shard) -> None:
        self._factory = factory
        self._steps: tuple[Step, ...] = shard.steps
        self._loaded: dict[str, Stage] = {}

    def of(self, number: int) -> Stage:
        later = {step.request.stage for step in self._steps[number:]}
        self._loaded = {name: stage for name, stage in self._loaded.items() if name in later}
        name = self._steps[number].request.stage
        if name not in self._loaded:
            self._loaded[name] = self._factory(name)
        return self._loaded[name]


class _Reporter:
    """Writes down how far a step is, not more often than somebody reads it."""

    def __init__(self, mailbox: Mailbox, index: int, step: int) -> None:
        self._mailbox, self._index, self._step = mailbox, index, step
        self._next = 0.0

    def progress(self, progress: Progress) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _REPORT_SECONDS
        try:
            self._mailbox.tell(self._index, self._step, progress)
        except Exception:
            # Nobody needs it to go on; the result itself must get through.
            _log.warning("the progress could not be written", exc_info=True)


def _status(error: OmnimatteError) -> int:
    if isinstance(error, Cancelled | Unavailable | OutOfSpace):
        return AGAIN
    return FOR_GOOD if isinstance(error, BadInput | NotFound) else OURS


def _required(environment: Mapping[str, str], variable: str) -> str:
    value = environment.get(variable, "")
    if not value:
        raise BadOption(f"the environment variable {variable} is not set; set it where the worker is started.")
    return value


def _index(environment: Mapping[str, str]) -> int:
    text = environment.get("JOB_COMPLETION_INDEX", "0")
    if not text.isdigit():
        raise BadOption(f"JOB_COMPLETION_INDEX is {text!r}, which is no number of a shard.")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
