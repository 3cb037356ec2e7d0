"""Jobs and their events as protobuf messages: the server's half of the conversions.

Must not know: what any of it is for.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import status_pb2

from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.api.specs import spec_to_message
from orchestrator.api.status import to_status
from orchestrator.estimate.estimator import Basis, Estimate
from orchestrator.execute import NodeState
from orchestrator.records import Event, Job, JobState
from orchestrator.upload_sessions import Session
from services.artifacts import Artifact
from services.errors import BadInput, NotFound, decode
from services.stage import Progress


def job_name(job: str) -> str:
    return f"jobs/{job}"


def job_id(name: str) -> str:
    """The id in the resource name "jobs/{id}". Raises NotFound for another text."""
    return _id(name, "jobs")


def upload_id(name: str) -> str:
    """The id in the resource name "uploads/{id}". Raises NotFound for another text."""
    return _id(name, "uploads")


def _id(name: str, collection: str) -> str:
    first, _, last = name.partition("/")
    if first != collection or not last or "/" in last:
        raise NotFound(f'{name!r} names nothing in {collection}; names look like "{collection}/0193f5".', field="name")
    return last


def session_to_message(session: Session) -> pb.UploadSession:
    message = pb.UploadSession(
        name=f"uploads/{session.id}",
        size_bytes=session.size,
        received_bytes=session.received,
        complete=session.complete,
        expire_time=timestamp(session.expires),
    )
    if session.complete:
        message.file.CopyFrom(pb.File(digest=session.digest, filename=session.filename))
    return message


def states_of(states: Iterable[int]) -> list[JobState]:
    """The states that a request names. Raises BadInput for a number that is none."""
    known = {pb.Job.State.Value(state.name): state for state in JobState}
    for state in states:
        if state not in known:
            raise BadInput(f"{state} is no state of a job; see Job.State.", field="states")
    return [known[state] for state in states]


def job_to_message(job: Job, *, result: Artifact | None = None) -> pb.Job:
    """`result`: the job's deliverables; None leaves the result out."""
    message = pb.Job(
        name=job_name(job.id),
        spec=spec_to_message(job.spec),
        state=job.state.name,
        spec_digest=job.spec_digest,
        sequence=job.sequence,
        create_time=timestamp(job.created),
    )
    if job.started:
        message.start_time.CopyFrom(timestamp(job.started))
    if job.ended:
        message.end_time.CopyFrom(timestamp(job.ended))
    if job.error:
        message.error.CopyFrom(_error(job.error))
    if result is not None:
        message.result.CopyFrom(_result(result))
        for failure in job.failures:
            message.result.failures.add(label=failure.label, error=to_status(failure.error))
    return message


def _result(artifact: Artifact) -> pb.JobResult:
    meta = artifact.meta
    files = sorted(artifact.manifest.files.items())
    return pb.JobResult(
        files=[pb.ResultFile(path=path, size_bytes=size) for path, size in files],
        recomposition_psnr=float(meta.get("recomposition_psnr", 0.0)),
        frames=int(meta.get("frames", 0)),
        width=int(meta.get("width", 0)),
        height=int(meta.get("height", 0)),
        address=artifact.address,
    )


def event_to_message(event: Event, job: pb.Job | None) -> pb.JobEvent:
    """`job`: the job as it was at the event; None unless the event is about the job itself."""
    message = pb.JobEvent(sequence=event.sequence, time=timestamp(event.time))
    if job is not None:
        message.job.CopyFrom(job)
    else:
        message.progress.CopyFrom(_progress(event.body["node"]))
    return message


def progress_to_message(event: Event) -> pb.StageProgress:
    """What an event tells of a stage run, without its picture."""
    message = _progress(event.body["node"])
    message.ClearField("preview")
    return message


def rendering_to_message(progress: Progress) -> pb.StageProgress:
    """How far an edit is."""
    return pb.StageProgress(
        stage="compose",
        subject="compose",
        state=pb.StageProgress.RUNNING,
        done=progress.done,
        total=progress.total,
        note=progress.note,
    )


def estimate_to_message(estimate: Estimate) -> pb.JobEstimate:
    message = pb.JobEstimate(jobs_ahead=estimate.ahead)
    for stage in estimate.stages:
        added = message.stages.add(
            stage=stage.node.stage,
            subject=stage.node.id,
            model=stage.model,
            cached=stage.cached,
            basis=_BASES[stage.basis],
        )
        _set_seconds(added.processor_time, stage.seconds)
    _set_seconds(message.processor_time, estimate.seconds)
    _set_seconds(message.critical_path, estimate.critical)
    return message


_BASES = {
    Basis.NOTHING: pb.StageEstimate.BASIS_UNSPECIFIED,
    Basis.MEASURED: pb.StageEstimate.MEASURED,
    Basis.ASSUMED: pb.StageEstimate.ASSUMED,
}


def _progress(node: Mapping[str, Any]) -> pb.StageProgress:
    message = pb.StageProgress(
        stage=node["stage"],
        subject=node["node"],
        state=NodeState(node["state"]).name,
        done=node["done"],
        total=node["total"],
        note=node["note"],
        # An older version's record has neither.
        losses=node.get("losses", {}),
        preview=base64.b64decode(node.get("preview", "")),
    )
    _set_seconds(message.elapsed, node["seconds"])
    if node["error"]:
        message.error.CopyFrom(_error(node["error"]))
    return message


def _error(text: str) -> status_pb2.Status:
    return to_status(decode(text))


def _set_seconds(duration: Duration, seconds: float) -> None:
    duration.FromNanoseconds(round(seconds * 1e9))


def timestamp(seconds: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromNanoseconds(round(seconds * 1e9))
    return stamp
