"""Damaged requests to every RPC of a real server: it lives, answers in time, with a right status, and tells nothing.

    python -m tests.fuzz.requests [--count 10000] [--seed 0]

Half of the requests are wrong by their values (tests/fuzz/messages.py), the others as bytes; some come with broken
metadata, or as streams that break off. Two tenants' names are among the values.
"""

from __future__ import annotations

import argparse
import collections
import random
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc

from orchestrator.access.credentials import Credentials
from orchestrator.access.keys import Keys
from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.api.specs import spec_to_message
from orchestrator.client import Client
from orchestrator.opening import opened
from orchestrator.server import SERVICE
from orchestrator.spec import from_dict
from tests.fuzz.messages import damage
from tests.fuzz.mutations import mutate
from tests.proofs.stand import Replica, ended, figure, folder, percentile, spec

METHODS = {method.name: method for method in pb.DESCRIPTOR.services_by_name["Omnimatte"].methods}
SECONDS = 10.0
"""Longest answer; the machine may be busy."""

_RIGHT = {
    "OK", "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED",
    "UNAUTHENTICATED", "CANCELLED",
}  # fmt: skip
_TELLTALES = ("Traceback", "sqlalchemy", "sqlite3", "psycopg", "/site-packages/", ".py", "SELECT ", "INSERT ")


@dataclass
class Outcome:
    """Counts of answers by method and status; what was wrong; seconds that each answer took."""

    answers: collections.Counter[tuple[str, str]] = field(default_factory=collections.Counter)
    faults: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


class Fuzzer:
    """Sends damaged requests to one server."""

    def __init__(self, address: str, token: str, names: tuple[str, ...], samples: dict[str, list[Any]]) -> None:
        self._channel = grpc.insecure_channel(address, options=[("grpc.max_send_message_length", -1)])
        self._token, self._names, self._samples = token, names, samples
        self._pieces = [one.SerializeToString() for some in samples.values() for one in some]

    def close(self) -> None:
        self._channel.close()

    def send(self, rng: random.Random, outcome: Outcome) -> None:
        """One request, and a judgement of its answer."""
        name = rng.choice(list(METHODS))
        described = METHODS[name]
        path = f"/{SERVICE}/{name}" if rng.random() < 0.98 else f"/{SERVICE}/{rng.choice(('Nothing', '', 'x' * 300))}"
        kinds = {(False, False): "unary_unary", (False, True): "unary_stream", (True, False): "stream_unary"}
        make = getattr(self._channel, kinds[described.client_streaming, described.server_streaming])
        call: Callable[..., Any] = make(path, request_serializer=None, response_deserializer=None)
        data = [self._bytes(rng, name) for _ in range(rng.choice((1, 2, 5)) if described.client_streaming else 1)]
        begun = time.monotonic()
        code, details = "OK", ""
        try:
            answer = call(
                iter(data) if described.client_streaming else data[0], metadata=self._metadata(rng), timeout=SECONDS
            )
            if described.server_streaming:
                for i, _ in enumerate(answer):
                    if i > 200:
                        answer.cancel()
                        break
        except grpc.RpcError as error:
            code, details = error.code().name, error.details() or ""  # type: ignore[attr-defined]
        outcome.seconds.append(time.monotonic() - begun)
        outcome.answers[name, code] += 1
        right = code in _RIGHT or (code == "UNIMPLEMENTED" and not path.endswith(f"/{name}"))
        if not right:
            outcome.faults.append(f"{name}: {code} {details[:300]}")
        if any(tale in details for tale in _TELLTALES):
            outcome.faults.append(f"{name} tells {details[:300]}")

    def _bytes(self, rng: random.Random, name: str) -> bytes:
        message = type(sample := rng.choice(self._samples[name]))()
        message.CopyFrom(sample)
        if rng.random() < 0.6:
            # What deletes gets no live name: later requests shall still find something.
            damage(message, rng, names=() if name.startswith("Delete") else self._names)
        data: bytes = message.SerializeToString()
        return mutate(data or b"\x0a", rng, self._pieces) if rng.random() < 0.4 else data

    def _metadata(self, rng: random.Random) -> list[tuple[str, str | bytes]]:
        if rng.random() < 0.95:
            return [("authorization", f"Bearer {self._token}")]
        wrong: list[list[tuple[str, str | bytes]]] = [
            [],
            [("authorization", "Bearer " + self._token[:-3])],
            [("authorization", "Bearer " + "x" * 6000)],
            [("authorization", f"Bearer {self._token}"), ("traceparent", "00-zz-1-" + "9" * 500)],
            [("authorization", f"Bearer {self._token}"), ("x-bin", rng.randbytes(200))],
        ]
        return rng.choice(wrong)


def samples(wanted: pb.JobSpec, job: pb.Job, upload: pb.UploadSession) -> dict[str, list[Any]]:
    """A good request to each method at least; methods without one here get an empty one."""
    prompt = pb.Prompt(box=pb.Box(x0=0, y0=0, x1=4, y1=4))
    objects = [pb.Object(label="vase", prompts=[prompt])]
    known: dict[str, list[Any]] = {
        "Upload": [
            pb.UploadRequest(filename="clip.mp4", chunk=b"bytes"),
            pb.UploadRequest(upload=upload.name, offset=0, chunk=b"bytes"),
            pb.UploadRequest(chunk=b"more", finish_write=True),
        ],
        "StartUpload": [pb.StartUploadRequest(filename="clip.mp4", size_bytes=100, digest="a" * 64)],
        "CreateJob": [pb.CreateJobRequest(job=pb.Job(spec=wanted), request_id="fuzz")],
        "BatchCreateJobs": [pb.BatchCreateJobsRequest(requests=[pb.CreateJobRequest(job=pb.Job(spec=wanted))])],
        "EstimateJob": [pb.EstimateJobRequest(job=pb.Job(spec=wanted))],
        "PreviewMasks": [pb.PreviewMasksRequest(source=wanted.source, objects=objects)],
        "ListJobs": [pb.ListJobsRequest(page_size=2, states=[pb.Job.SUCCEEDED])],
        "Compose": [pb.ComposeRequest(job=job.name, edit="layers: {vase: {move: [1, 2]}}")],
        "Download": [pb.DownloadRequest(name=job.name, paths=["layers/vase/00000.png"])],
    }
    for name, method in METHODS.items():
        if name not in known:
            request = message_factory.GetMessageClass(method.input_type)()
            if "name" in request.DESCRIPTOR.fields_by_name:
                request.name = upload.name if "Upload" in name else job.name
            if name.startswith("Delete"):
                request.name += "0"
            known[name] = [request]
    return known


def fuzz(*, count: int, seed: int, threads: int = 4) -> Outcome:
    """`count` requests to a server of its own."""
    with folder() as home:
        url = f"sqlite:///{home / 'db.sqlite'}"
        engine = opened(url)
        keys = {tenant: Keys(engine).create(tenant=tenant) for tenant in ("studio", "rival")}
        engine.dispose()
        settings = {"store": str(home / "store"), "database_url": url, "access": {"api_keys": True}, "running_jobs": 2}
        running = Replica({**settings, "max_upload_bytes": 10**6}, tempo={"shortest": 0.0, "longest": 0.2})
        outcome = Outcome()
        try:
            with Client(running.address, credentials=Credentials(token=keys["rival"])) as rival:
                theirs = rival.create_job(spec(rival, 1))
            with Client(running.address, credentials=Credentials(token=keys["studio"])) as client:
                wanted = spec_to_message(from_dict(spec(client, 0)))
                job = client.create_job(spec(client, 0))
                ended(client, job.name)
                upload = client._call(_start())
            fuzzer = Fuzzer(
                running.address,
                keys["studio"],
                (job.name, theirs.name, upload.name, wanted.source.digest, "layers/vase/00000.png", "vase"),
                samples(wanted, job, upload),
            )
            chances = [random.Random(f"{seed} {i}") for i in range(count)]
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(lambda rng: fuzzer.send(rng, outcome), chances))
            fuzzer.close()
            _lives(running, outcome)
        finally:
            running.end()
        if "Traceback" in running.log() or "failed" in running.log():
            outcome.faults.append(f"the server's log: {running.log()[-3000:]}")
        return outcome


def _start() -> Any:
    from orchestrator.client import calls

    return calls.start_upload("clip.mp4", 1000, "b" * 64)


def _lives(running: Replica, outcome: Outcome) -> None:
    if running.process.poll() is not None:
        outcome.faults.append(f"the server is dead: {running.log()[-3000:]}")
        return
    with grpc.insecure_channel(running.address) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            outcome.faults.append("the server does not serve any more")


def table(outcome: Outcome) -> Iterator[str]:
    """Lines for people: each method's answers."""
    for method in METHODS:
        counts = {code: count for (name, code), count in sorted(outcome.answers.items()) if name == method}
        yield f"  {method}: " + ", ".join(f"{count} {code}" for code, count in counts.items())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    outcome = fuzz(count=asked.count, seed=asked.seed)
    for line in table(outcome):
        print(line, file=sys.stderr)
    total = sum(outcome.answers.values())
    ok = sum(count for (_, code), count in outcome.answers.items() if code == "OK")
    figure(
        f"{total} damaged requests",
        f"{ok} taken, {total - ok} refused with a right status, {len(outcome.faults)} faults, slowest answer "
        f"{max(outcome.seconds):.1f} s, p99 {1e3 * percentile(outcome.seconds, 0.99):.0f} ms",
    )
    for fault in outcome.faults[:20]:
        print(fault, file=sys.stderr)
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
