"""Whatever is killed whenever: the job succeeds, bit for bit, and nothing that was finished is made again.

    python -m tests.proofs.kill_anywhere [--every 1] [--victims orchestrator,triton,worker]

For each kind of victim a job of two objects runs on real stages. At every event that the job's history records (a stage
run begins, or is done, or the job's state changes) the victim is killed with SIGKILL and started again, and the same
job goes on; so it survives as many deaths as it has events.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.client import Client, Retry
from services.errors import OmnimatteError
from tests.proofs import real
from tests.proofs.stand import Replica, deliverables, figure, folder, half_made, manifests, without_wall_times

VICTIMS = ("orchestrator", "triton", "worker")
Moment = tuple[str, str]
_PATIENT = Retry(attempts=60, first=0.2, longest=1.0)


@dataclass
class Outcome:
    """What became of a job whose helpers were killed at `kills` moments.

    Attributes:
        again: manifests of artifacts that were finished, and then were made another time.
        done: how often each stage run was told as computed.
        files: what it delivered.
        left: what lies about in the store until the next collection.
    """

    kills: list[Moment] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Deployment:
    """An orchestrator and a Triton, each of which can be killed."""

    def __init__(self, home: Path, models: real.Models) -> None:
        self.store, self._home, self._models = str(home / "store"), home, models
        self.orchestrator = self._started()

    def _started(self) -> Replica:
        database = f"sqlite:///{self._home / 'orchestrator.sqlite'}"
        return Replica({"store": self.store, "database_url": database}, triton=self._models.address)

    def kill(self, victim: str, subject: str) -> None:
        """Kill the victim and start it again. A worker is one of the stage whose event it was."""
        if victim == "orchestrator":
            self.orchestrator.kill()
            self.orchestrator = self._started()
            return
        if victim == "triton":
            self._models.kill()
        else:
            self._models.kill_instance(_stage(subject))
        until = time.monotonic() + 20
        while self._models.server.died() is None and time.monotonic() < until:
            time.sleep(0.02)
        self._models.back()


def _stage(subject: str) -> str:
    kind = subject.partition("/")[0]
    return {"mask": "ingest", "preserve": "ingest", "whole": "sam2", "": "finish"}.get(kind, kind)


def moments(events: list[pb.JobEvent]) -> list[Moment]:
    """What the history tells, each thing once: (subject or "", state)."""
    told = [_moment(event) for event in events]
    return list(dict.fromkeys(moment for moment in told if moment is not None))


def _moment(event: pb.JobEvent) -> Moment | None:
    if event.WhichOneof("event") == "job":
        return "", pb.Job.State.Name(event.job.state)
    state = pb.StageProgress.State.Name(event.progress.state)
    return None if state == "QUEUED" else (event.progress.subject, state)


def run(home: Path, victim: str, at: list[Moment]) -> Outcome:
    """A job that survives the death of `victim` at each of the moments `at`; none for an undisturbed one."""
    outcome, finished = Outcome(), dict[str, bytes]()
    begun = time.monotonic()
    with real.models(str(home / "store"), home / "triton") as models:
        deployment = Deployment(home, models)
        try:
            with Client(deployment.orchestrator.address, retry=_PATIENT) as client:
                job = client.create_job(real.upload_job(client), request_id="proof").name
            left, last = list(at), 0
            while (final := _followed(deployment, job, last, left, outcome)) is None:
                subject, _ = outcome.kills[-1]
                # Published before the death: these must stay as they are.
                finished |= manifests(deployment.store)
                deployment.kill(victim, subject)
            assert final.state == pb.Job.SUCCEEDED, final.error
            now = manifests(deployment.store)
            outcome.again = [path for path, data in finished.items() if now.get(path) != data]
            with Client(deployment.orchestrator.address, retry=_PATIENT) as client:
                for event in client.watch(job):
                    if event.progress.state == pb.StageProgress.DONE:
                        outcome.done[event.progress.subject] = outcome.done.get(event.progress.subject, 0) + 1
            outcome.files = without_wall_times(deliverables(deployment.store, final.result.address))
            outcome.left = half_made(deployment.store)
        finally:
            deployment.orchestrator.end()
    outcome.seconds = time.monotonic() - begun
    return outcome


def _followed(deployment: Deployment, job: str, last: int, left: list[Moment], outcome: Outcome) -> pb.Job | None:
    """Follow the job to the next moment at which somebody is to be killed (None), or to its end."""
    with Client(deployment.orchestrator.address, retry=_PATIENT) as client:
        seen: pb.Job | None = None
        try:
            for event in client.watch(job, after=last):
                moment = _moment(event)
                if event.WhichOneof("event") == "job":
                    seen = event.job
                if moment in left:
                    left.remove(moment)
                    outcome.kills.append(moment)
                    return None
        except OmnimatteError:
            return None if seen is None else seen
        assert seen is not None
        return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="kill at every N-th event")
    parser.add_argument("--victims", default=",".join(VICTIMS))
    asked = parser.parse_args()
    with folder() as home:
        plain = run(home, "orchestrator", [])
        with_history: Any = moments_of(home)
    figure("undisturbed job", f"{len(with_history)} events, {plain.seconds:.0f} s")
    for victim in asked.victims.split(","):
        with folder() as home:
            outcome = run(home, victim, with_history[:: asked.every])
        same = outcome.files == plain.files
        text = (
            f"{len(outcome.kills)} kills in {outcome.seconds:.0f} s: succeeded, "
            f"{'bit-identical' if same else 'OTHER BITS'}, {len(outcome.again)} finished stages computed again, "
            f"{sum(count > 1 for count in outcome.done.values())} told as done twice"
        )
        figure(f"{victim} killed at every event", text)
        assert same and not outcome.again, outcome.again


def moments_of(home: Path) -> list[Moment]:
    """The moments of the one job that the database in `home` knows."""
    from orchestrator.api import convert
    from orchestrator.db import Database

    database = Database(f"sqlite:///{home / 'orchestrator.sqlite'}")
    [job] = database.page(tenant="local", size=2)
    messages = []
    for event in database.events(job.id, tenant="local", after=0):
        if "job" in event.body:
            state = pb.Job(state=event.body["job"]["state"].upper())
            messages.append(pb.JobEvent(job=state))
        else:
            messages.append(convert.event_to_message(event, None))
    database.close()
    return moments(messages)


if __name__ == "__main__":
    main()
