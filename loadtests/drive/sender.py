"""Sends one order through the project's client, and makes a record of it.

Everything blocks; under gevent, each order has a greenlet of its own.
Must not know: locust, or when orders are due.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from loadtests.drive.clips import Clips, Uploads
from loadtests.drive.record import Record, StageRun
from loadtests.orders import Order
from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.client import Client, Retry
from services.errors import Conflict, OmnimatteError

Told = Callable[[str, float, Exception | None], None]
"""Called with each call's name, its seconds, and how it failed."""

_OUTCOMES = {pb.Job.SUCCEEDED: "succeeded", pb.Job.FAILED: "failed", pb.Job.CANCELLED: "cancelled"}
_FULL = "RESOURCE_EXHAUSTED"


@dataclass(frozen=True)
class UntilFull(Retry):
    """Waits for a service that is away, but takes "there is no room" for an answer: the run is about that."""

    def pause(self, error: OmnimatteError, failures: int, **more: Any) -> float | None:
        return None if error.status == _FULL else super().pause(error, failures, **more)


@dataclass
class _Sending:
    """One order under way."""

    record: Record
    began: float
    told: Told
    calls: dict[str, float] = field(default_factory=dict)

    def now(self) -> float:
        return time.time() - self.began

    def note(self, **facts: Any) -> None:
        self.record = replace(self.record, **facts)

    @contextlib.contextmanager
    def call(self, name: str) -> Iterator[None]:
        start, problem = time.perf_counter(), None
        try:
            yield
        except Exception as error:
            problem = error
            raise
        finally:
            seconds = time.perf_counter() - start
            self.calls[name] = self.calls.get(name, 0.0) + seconds
            self.told(name, seconds, problem)


class Sender:
    """Sends orders to one service."""

    def __init__(self, clients: Mapping[str, Client], clips: Clips, *, began: float, patience: float) -> None:
        """
        Args:
            clients: of each tenant.
            began: seconds since the epoch at which the run began.
            patience: seconds that a watched job may say nothing while its service is away.
        """
        self._clients, self._clips, self._began, self._patience = clients, clips, began, patience

    def send(self, order: Order, told: Told) -> Record:
        """From upload to end. Never raises for what the service does."""
        record = Record(
            number=order.number,
            kind=order.kind,
            objects=order.objects,
            frames=order.frames,
            tenant=order.tenant,
            line=order.line,
            preview=order.preview,
            due=order.at,
            sent=time.time() - self._began,
        )
        sending = _Sending(record, self._began, told)
        try:
            (self._preview if order.preview else self._job)(order, self._clients[order.tenant], sending)
        except OmnimatteError as error:
            # Once it is accepted, only its end counts.
            if sending.record.outcome == "lost":
                lost = bool(sending.record.name)
                outcome = "lost" if lost else "refused" if error.status == _FULL else "error"
                sending.note(outcome=outcome)
            sending.note(reason=type(error).__name__, message=error.message, retry_after=error.retry_after)
            sending.note(heard=sending.record.heard or sending.now())
        return replace(sending.record, calls=sending.calls)

    def _preview(self, order: Order, client: Client, sending: _Sending) -> None:
        uploads = self._clips.of(order)
        with sending.call("Upload"):
            video = client.upload([uploads.video], filename=f"{order.number}{uploads.suffix}")
        spec = {"source": video, "objects": [{"label": "object-0", "prompts": [{"frame": 0, "box": [1, 1, 6, 5]}]}]}
        with sending.call("PreviewMasks"):
            client.preview_masks(spec, 0)
        sending.note(outcome="succeeded", heard=sending.now())

    def _job(self, order: Order, client: Client, sending: _Sending) -> None:
        with sending.call("Upload"):
            spec = self._spec(order, client, self._clips.of(order))
        with sending.call("CreateJob"):
            job = client.create_job(spec)
        sending.note(name=job.name)
        last = self._followed(order, client, job.name, sending)
        facts = self._facts(last)
        # Who wanted to cancel it looked away until then.
        over = facts["ended"] and facts["ended"] < sending.record.cancel_asked
        sending.note(heard=facts["ended"] if over else sending.now(), **facts)
        if order.download and last.state == pb.Job.SUCCEEDED:
            with sending.call("Download"), tempfile.TemporaryDirectory() as folder:
                client.download(job.name, Path(folder) / "out")
        if order.cleanup:
            with sending.call("DeleteJob"):
                client.delete(job.name)

    def _spec(self, order: Order, client: Client, uploads: Uploads) -> dict[str, Any]:
        objects = [
            {"label": label, "mask": client.upload([data], filename=f"{label}-{order.number}{uploads.suffix}")}
            for label, data in uploads.masks.items()
        ]
        source = client.upload([uploads.video], filename=f"{order.number}{uploads.suffix}")
        return {"source": source, "objects": objects, "scheduling": {"class": order.line}}

    def _followed(self, order: Order, client: Client, name: str, sending: _Sending) -> pb.Job:
        if order.cancel_after:
            time.sleep(order.cancel_after)
            sending.note(cancel_asked=sending.now())
            with contextlib.suppress(Conflict), sending.call("CancelJob"):
                client.cancel(name)
        with sending.call("WatchJob"):
            for _ in client.watch(name, patience=self._patience):
                pass
        with sending.call("GetJob"):
            return client.get(name)

    def _facts(self, job: pb.Job) -> dict[str, Any]:
        def moment(stamp: Any) -> float:
            return stamp.ToNanoseconds() / 1e9 - self._began if stamp.ToNanoseconds() else 0.0

        done = (pb.StageProgress.DONE, pb.StageProgress.CACHED)
        stages = [
            StageRun(
                subject=run.subject,
                stage=run.stage,
                seconds=run.elapsed.ToNanoseconds() / 1e9,
                cached=run.state == pb.StageProgress.CACHED,
            )
            for run in job.progress
            if run.state in done
        ]
        return {
            "outcome": _OUTCOMES.get(job.state, "lost"),
            "message": job.error.message,
            "created": moment(job.create_time),
            "taken": moment(job.start_time),
            "ended": moment(job.end_time),
            "stages": tuple(stages),
        }
