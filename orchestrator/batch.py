"""`omnimatte batch`: thousands of clips from a manifest to a server, and their layers back.

What became of each line is written down as it is known, one line of JSON each, to RESULT. The same command again
makes no second job: a file is known by its digest, a job by the digest of what it asks for.
Must not know: how a server works inside.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from orchestrator.access.credentials import Credentials
from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.batch_manifest import Line, read_manifest
from orchestrator.client import FINAL_STATES, Client, error_of
from services.artifacts import digest
from services.errors import BadInput, OmnimatteError

_UPLOADS = 4
_POLL_SECONDS = 5.0


@dataclass(frozen=True)
class Batch:
    """What the command line asks for.

    Attributes:
        manifest: see orchestrator/batch_manifest.py.
        result: where it is written what became of each line.
        out: folder that gets a folder with the layers of each job that succeeds; None: do not wait for them.
    """

    manifest: Path
    result: Path
    server: str
    credentials: Credentials
    out: Path | None = None


def batch(wish: Batch) -> int:
    """Queue the jobs of the manifest, and wait for them if asked to; returns how many lines came to nothing."""
    outcomes: dict[int, pb.Job | OmnimatteError] = {}
    lines = []
    for found in read_manifest(wish.manifest):
        if isinstance(found, Line):
            lines.append(found)
        else:
            outcomes[found[0]] = found[1]
    if not lines and not outcomes:
        raise BadInput(f"the manifest {wish.manifest} has no line; write one line of JSON for each job.")
    with Client(wish.server, credentials=wish.credentials) as client:
        sent = _sent(client, lines)
        ready = []
        for line in lines:
            broken = next((sent[path] for path in line.paths if isinstance(sent[path], OmnimatteError)), None)
            if isinstance(broken, OmnimatteError):
                outcomes[line.number] = broken
            else:
                ready.append((line, line.spec(wish.manifest.parent, lambda path: _file(sent[path]))))
        wanted = [(digest(spec), spec) for _, spec in ready]
        created = tqdm(client.create_jobs(wanted), "jobs", total=len(wanted), file=sys.stderr, disable=None)
        for (line, _), outcome in zip(ready, created, strict=True):
            outcomes[line.number] = outcome
        _write(wish.result, outcomes)
        if wish.out is not None:
            _waited(client, outcomes, wish)
    return sum(isinstance(outcome, OmnimatteError) or error_of(outcome) is not None for outcome in outcomes.values())


def _sent(client: Client, lines: list[Line]) -> Mapping[Path, dict[str, str] | OmnimatteError]:
    """Each file once, a few at a time: what a spec calls it, or why it could not be sent."""
    paths = list(dict.fromkeys(path for line in lines for path in line.paths))

    def send(path: Path) -> dict[str, str] | OmnimatteError:
        try:
            return client.upload(path)
        except OmnimatteError as error:
            return error

    with ThreadPoolExecutor(_UPLOADS) as pool:
        bar = tqdm(pool.map(send, paths), "files", total=len(paths), file=sys.stderr, disable=None)
        return dict(zip(paths, bar, strict=True))


def _file(sent: dict[str, str] | OmnimatteError) -> dict[str, str]:
    assert not isinstance(sent, OmnimatteError)
    return sent


def _waited(client: Client, outcomes: dict[int, pb.Job | OmnimatteError], wish: Batch) -> None:
    """Follow the jobs to their ends; fetch the layers of each that succeeds."""
    assert wish.out is not None
    waiting = {number: job for number, job in outcomes.items() if isinstance(job, pb.Job)}
    with tqdm(total=len(waiting), desc="done", file=sys.stderr, disable=None) as bar:
        while waiting:
            for number, job in list(waiting.items()):
                now = client.get(job.name, fields=("name", "state", "error"))
                if now.state not in FINAL_STATES:
                    continue
                outcomes[number] = now
                del waiting[number]
                bar.update()
                place = wish.out / str(number)
                if now.state == pb.Job.SUCCEEDED and not place.exists():
                    try:
                        client.download(job.name, place)
                    except OmnimatteError as error:
                        outcomes[number] = error
                _write(wish.result, outcomes)
            if waiting:
                time.sleep(_POLL_SECONDS)


def _write(path: Path, outcomes: Mapping[int, pb.Job | OmnimatteError]) -> None:
    text = "".join(json.dumps(_told(number, outcomes[number])) + "\n" for number in sorted(outcomes))
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text)
    partial.replace(path)


def _told(number: int, outcome: pb.Job | OmnimatteError) -> dict[str, Any]:
    error = outcome if isinstance(outcome, OmnimatteError) else error_of(outcome)
    told: dict[str, Any] = {"line": number}
    if isinstance(outcome, pb.Job):
        told |= {"job": outcome.name, "state": pb.Job.State.Name(outcome.state)}
    return told | ({"reason": error.reason, "error": error.message} if error is not None else {})
