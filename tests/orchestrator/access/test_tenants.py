"""Over real gRPC: strangers reach nothing, and tenant B reaches nothing of tenant A, by any RPC that there is.

The RPCs come from the API's descriptor: one that is added without a test here fails the suite.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
import toys
from conftest import Background, make_spec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf import message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

sys.path.insert(0, str(Path(__file__).parent))

from makers import public_pem, token

from orchestrator.access.credentials import Credentials
from orchestrator.access.keys import REFUSED, Keys
from orchestrator.access.settings import Access, JwtSettings
from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.api.specs import spec_to_message
from orchestrator.api.status import from_rpc, from_status
from orchestrator.client import Client
from orchestrator.opening import opened
from orchestrator.server import SERVICE
from orchestrator.spec import from_dict
from services.errors import NotFound, OmnimatteError, PermissionDenied, Unauthenticated

METHODS = {method.name: method for method in pb.DESCRIPTOR.services_by_name["Omnimatte"].methods}
NOBODYS = "0" * 64


@dataclass
class World:
    """A server that asks who calls; tenant A ("studio") with a finished job, and tenant B ("rival")."""

    background: Background
    secrets: list[str]
    keys: dict[str, str]
    signer: Any
    a: Client
    b: Client
    spec: dict[str, Any]
    done: pb.Job
    log: list[str] = field(default_factory=list)

    @property
    def audit(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in (self.background.folder / "audit.log").read_text().splitlines()]

    def call(self, method: str, request: Any, *metadata: tuple[str, str]) -> Any:
        """Send `request` to the RPC `method`; answers are read to their end."""
        described = METHODS[method]
        kinds = {(False, False): "unary_unary", (False, True): "unary_stream", (True, False): "stream_unary"}
        kind = kinds[(described.client_streaming, described.server_streaming)]
        with grpc.insecure_channel(self.background.server.address) as channel:
            answer_class = message_factory.GetMessageClass(described.output_type)
            stub = getattr(channel, kind)(
                f"/{SERVICE}/{method}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=answer_class.FromString,
            )
            try:
                answer = stub(iter([request]) if described.client_streaming else request, metadata=metadata, timeout=20)
                return list(answer) if described.server_streaming else answer
            except grpc.RpcError as error:
                raise from_rpc(error, address="") from error


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("tenants")
    signer = Ed25519PrivateKey.generate()
    (folder / "signer.pem").write_bytes(public_pem(signer))
    access = Access(
        api_keys=True,
        jwt=JwtSettings(folder / "signer.pem", issuer="https://sign-in.test", audience="omnimatte"),
        audit_log=str(folder / "audit.log"),
    )
    log: list[str] = []
    handler = logging.Handler(0)
    handler.emit = lambda record: log.append(f"{record.getMessage()} {record.exc_info}")  # type: ignore[method-assign]
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    with Background(folder, access=access) as background:
        engine = opened(f"sqlite:///{folder / 'orchestrator.sqlite'}")
        made = Keys(engine)
        keys = {tenant: made.create(tenant=tenant) for tenant in ("studio", "rival")}
        keys["revoked"], keys["expired"] = made.create(tenant="studio"), made.create(tenant="studio", days=1e-9)
        made.revoke(keys["revoked"])
        engine.dispose()
        address = background.server.address
        with (
            Client(address, credentials=Credentials(token=keys["studio"])) as a,
            Client(address, credentials=Credentials(token=keys["rival"])) as b,
        ):
            spec = make_spec(a)
            done = a.create_job(spec, request_id="mine")
            *_, last = a.watch(done.name)
            assert last.job.state == pb.Job.SUCCEEDED
            yield World(background, [*keys.values()], keys, signer, a, b, spec, last.job, log)
    root.removeHandler(handler)
    root.setLevel(level)


def error_of(call: Callable[[], Any]) -> OmnimatteError:
    with pytest.raises(OmnimatteError) as caught:
        call()
    return caught.value


def names_nothing(world: World, method: str, request: Callable[[str], Any]) -> None:
    """For B, A's jobs answer as jobs do that never were."""
    bearer = ("authorization", f"Bearer {world.keys['rival']}")
    unknown = error_of(lambda: world.call(method, request("jobs/nothing"), bearer))
    assert type(unknown) is NotFound
    running = world.a.create_job({**world.spec, "options": {"seed": toys.WAITS}})
    next(event for event in world.a.watch(running.name) if event.progress.subject == "casper/background")
    for job in (world.done, running):
        error = error_of(lambda job=job: world.call(method, request(job.name), bearer))
        assert type(error) is NotFound
        assert error.message.replace(job.name.removeprefix("jobs/"), "nothing") == unknown.message
    assert world.a.get(running.name).state == pb.Job.RUNNING
    world.a.cancel(running.name)
    assert list(world.a.watch(running.name))[-1].job.state == pb.Job.CANCELLED
    world.a.delete(running.name)


def upload(world: World) -> None:
    sent = world.b.upload([b"of B"], filename="clip.mp4")
    assert sent["digest"] not in json.dumps(world.spec)
    with pytest.raises(NotFound):
        world.a.create_job({**world.spec, "source": sent})
    upload_reach("Upload", lambda name: pb.UploadRequest(upload=name, finish_write=True))(world)


def create(world: World) -> None:
    own = make_own_spec(world)
    for path, stolen in (
        ("source", {**own, "source": world.spec["source"]}),
        ("objects[0].mask", {**own, "objects": world.spec["objects"][:1]}),
        ("preserve", {**own, "preserve": world.spec["source"]}),
        ("source", {**own, "source": {"digest": world.done.result.address}}),
    ):
        theirs = error_of(lambda stolen=stolen: world.b.create_job(stolen))
        digest = theirs.message.split("upload ")[1].split()[0].rstrip(";")
        assert type(theirs) is NotFound and theirs.field == f"{path}.digest" and len(digest) == 12
        nobodys = error_of(lambda: world.b.create_job({**own, "source": {"digest": NOBODYS}}))
        assert "there is no upload" in theirs.message and "there is no upload" in nobodys.message
    # A's request id is free, for the same job and for another.
    job = world.b.create_job(own, request_id="mine")
    assert job.name != world.done.name
    assert world.a.create_job(world.spec, request_id="mine").name == world.done.name
    assert list(world.b.watch(job.name))[-1].job.state == pb.Job.SUCCEEDED


def make_own_spec(world: World) -> dict[str, Any]:
    video, mask = world.b.upload([b"B's video"]), world.b.upload([b"B's mask"])
    return {"source": video, "objects": [{"label": "vase", "mask": mask}]}


def listing(world: World) -> None:
    ours, theirs = {job.name for job in world.a.list()}, {job.name for job in world.b.list()}
    extra = world.a.create_job(world.spec)
    assert world.done.name in ours and not ours & theirs
    # A page of A's, asked for by B: the token opens nothing.
    bearer = {who: ("authorization", f"Bearer {world.keys[who]}") for who in ("studio", "rival")}
    page = world.call("ListJobs", pb.ListJobsRequest(page_size=1), bearer["studio"])
    assert page.next_page_token
    request = pb.ListJobsRequest(page_token=page.next_page_token)
    assert not {job.name for job in world.call("ListJobs", request, bearer["rival"]).jobs} & ours
    list(world.a.watch(extra.name))
    world.a.delete(extra.name)


def thefts(world: World) -> Iterator[tuple[str, dict[str, Any]]]:
    """Specs of B that name what is A's, with the field that does."""
    own = make_own_spec(world)
    yield "source", {**own, "source": world.spec["source"]}
    yield "objects[0].mask", {**own, "objects": world.spec["objects"][:1]}
    yield "source", {**own, "source": {"digest": world.done.result.address}}


def message_of(spec: dict[str, Any]) -> pb.Job:
    return pb.Job(spec=spec_to_message(from_dict(spec)))


def batch(world: World) -> None:
    bearer = ("authorization", f"Bearer {world.keys['rival']}")
    stolen = list(thefts(world))
    requests = [pb.CreateJobRequest(job=message_of(spec), request_id="mine") for _, spec in stolen]
    answer = world.call("BatchCreateJobs", pb.BatchCreateJobsRequest(requests=requests), bearer)
    errors = [from_status(outcome.error) for outcome in answer.outcomes]
    assert [(type(error), error.field) for error in errors] == [(NotFound, f"{path}.digest") for path, _ in stolen]


def estimate(world: World) -> None:
    bearer = ("authorization", f"Bearer {world.keys['rival']}")
    for path, spec in thefts(world):
        request = pb.EstimateJobRequest(job=message_of(spec))
        error = error_of(lambda request=request: world.call("EstimateJob", request, bearer))
        assert type(error) is NotFound and error.field == f"{path}.digest"


def preview(world: World) -> None:
    bearer = ("authorization", f"Bearer {world.keys['rival']}")
    box = pb.Prompt(box=pb.Box(x0=0, y0=0, x1=4, y1=4))
    for digest in (world.spec["source"]["digest"], world.done.result.address):
        request = pb.PreviewMasksRequest(
            source=pb.File(digest=digest), objects=[pb.Object(label="vase", prompts=[box])]
        )
        error = error_of(lambda request=request: world.call("PreviewMasks", request, bearer))
        assert type(error) is NotFound and error.field == "source.digest"


def begun(world: World) -> pb.UploadSession:
    """An upload of A's under way."""
    bearer = ("authorization", f"Bearer {world.keys['studio']}")
    request = pb.StartUploadRequest(filename="secret.mp4", size_bytes=10, digest="5" * 64)
    session: pb.UploadSession = world.call("StartUpload", request, bearer)
    return session


def start_upload(world: World) -> None:
    """Neither A's upload under way nor A's file is B's by its digest."""
    theirs = begun(world)
    bearer = ("authorization", f"Bearer {world.keys['rival']}")
    own = world.call("StartUpload", pb.StartUploadRequest(size_bytes=10, digest="5" * 64), bearer)
    assert own.name != theirs.name and own.received_bytes == 0
    known = pb.StartUploadRequest(size_bytes=5, digest=world.spec["source"]["digest"])
    assert not world.call("StartUpload", known, bearer).complete


def upload_reach(method: str, make: Callable[[str], Any]) -> Callable[[World], None]:
    def attack(world: World) -> None:
        session = begun(world)
        bearer = ("authorization", f"Bearer {world.keys['rival']}")
        for name in (session.name, "uploads/nothing"):
            error = error_of(lambda name=name: world.call(method, make(name), bearer))
            assert type(error) is NotFound and "secret" not in error.message
        mine = ("authorization", f"Bearer {world.keys['studio']}")
        assert world.call("GetUpload", pb.GetUploadRequest(name=session.name), mine) == session

    return attack


def compose(world: World) -> None:
    """B edits nothing of A's, takes no layer of A's into an edit of its own, and uses no upload of A's."""
    names_nothing(world, "Compose", lambda name: pb.ComposeRequest(job=name))
    own = world.b.create_job(make_own_spec(world))
    assert list(world.b.watch(own.name))[-1].job.state == pb.Job.SUCCEEDED
    bearer = ("authorization", f"Bearer {world.keys['rival']}")
    stolen = {
        "inserts[0].from": {"inserts": [{"from": world.done.name, "layer": "vase", "as": "mine"}]},
        "edit.background.digest": {"background": {"image": world.spec["source"]["digest"]}},
    }
    for field_, edit in stolen.items():
        request = pb.ComposeRequest(job=own.name, edit=json.dumps(edit))
        error = error_of(lambda request=request: world.call("Compose", request, bearer))
        assert type(error) is NotFound and error.field == field_


ATTACKS: dict[str, Callable[[World], None]] = {
    "Upload": upload,
    "StartUpload": start_upload,
    "GetUpload": upload_reach("GetUpload", lambda name: pb.GetUploadRequest(name=name)),
    "DeleteUpload": upload_reach("DeleteUpload", lambda name: pb.DeleteUploadRequest(name=name)),
    "Compose": compose,
    "SignUrls": lambda world: names_nothing(world, "SignUrls", lambda name: pb.SignUrlsRequest(name=name)),
    "CreateJob": create,
    "BatchCreateJobs": batch,
    "EstimateJob": estimate,
    "PreviewMasks": preview,
    "ListJobs": listing,
    "GetJob": lambda world: names_nothing(world, "GetJob", lambda name: pb.GetJobRequest(name=name)),
    "WatchJob": lambda world: names_nothing(world, "WatchJob", lambda name: pb.WatchJobRequest(name=name)),
    "CancelJob": lambda world: names_nothing(world, "CancelJob", lambda name: pb.CancelJobRequest(name=name)),
    "DeleteJob": lambda world: names_nothing(world, "DeleteJob", lambda name: pb.DeleteJobRequest(name=name)),
    "Download": lambda world: names_nothing(world, "Download", lambda name: pb.DownloadRequest(name=name)),
}


@pytest.mark.parametrize("method", METHODS)
def test_a_tenant_reaches_nothing_of_another(method: str, world: World, tmp_path: Path) -> None:
    assert method in ATTACKS, f"say here what {method} must keep from other tenants"
    before = {job.name: job.state for job in world.a.list()}
    history = world.a.get(world.done.name)
    ATTACKS[method](world)
    assert {job.name: job.state for job in world.a.list()} == before
    assert world.a.get(world.done.name) == history
    world.a.download(world.done.name, tmp_path / "out")
    assert (tmp_path / "out" / "layers/vase/00000.png").read_bytes() == b"vase" * 1000


def strangers(world: World) -> dict[str, list[tuple[str, str]]]:
    good, expired = world.keys["studio"], time.time() - 3600
    flipped = good[:-1] + ("A" if good[-1] != "A" else "B")
    bearers = {
        "wrong secret": flipped,
        "unknown id": "omni_" + "0" * 16 + good[21:],
        "revoked": world.keys["revoked"],
        "expired": world.keys["expired"],
        "cut": good[:30],
        "prefix": "omni_",
        "words": "let me in",
        "token expired": token(world.signer, exp=expired),
        "token of another": token(Ed25519PrivateKey.generate()),
        "token for another": token(world.signer, aud="mail"),
        "token changed": token(world.signer)[:-4] + "AAAA",
        "dots": "a.b.c",
    }
    world.secrets.extend(text for text in bearers.values() if len(text) > 20)
    sent = {name: [("authorization", f"Bearer {text}")] for name, text in bearers.items()}
    return sent | {
        "nothing": [],
        "no scheme": [("authorization", good)],
        "other scheme": [("authorization", f"Basic {good}")],
        "empty": [("authorization", "Bearer ")],
        "two": [("authorization", f"Bearer {good}"), ("authorization", f"Bearer {world.keys['rival']}")],
        "elsewhere": [("x-api-key", good)],
    }


@pytest.mark.parametrize("method", METHODS)
def test_strangers_are_refused_at_every_rpc(method: str, world: World) -> None:
    request = message_factory.GetMessageClass(METHODS[method].input_type)()
    if "name" in request.DESCRIPTOR.fields_by_name:
        request.name = world.done.name
    told = set()
    for metadata in strangers(world).values():
        error = error_of(lambda metadata=metadata: world.call(method, request, *metadata))
        assert type(error) is Unauthenticated and error.exit_code == 6
        told.add(error.message)
    # One answer for credentials that are not valid, one for what are none.
    assert len(told) == 2 and REFUSED in told
    assert world.audit[-1] | {"time": "", "peer": ""} == {
        "time": "", "tenant": "", "caller": "", "peer": "", "call": method, "subject": "", "outcome": "UNAUTHENTICATED",
    }  # fmt: skip


def test_a_token_opens_its_tenant(world: World) -> None:
    address = world.background.server.address
    good, rivals = token(world.signer), token(world.signer, tenant="rival")
    world.secrets.extend([good, rivals])
    with Client(address, credentials=Credentials(token=good)) as alice:
        assert alice.get(world.done.name).spec == world.done.spec
    with Client(address, credentials=Credentials(token=rivals)) as bob, pytest.raises(NotFound):
        bob.get(world.done.name)
    with (
        Client(address, credentials=Credentials(token=token(world.signer, tenant=None))) as nobody,
        pytest.raises(PermissionDenied, match="no tenant"),
    ):
        nobody.get(world.done.name)


def test_a_file_that_both_have_sent_both_can_use(world: World) -> None:
    mine = world.b.upload([b"video"], filename="copy.mp4")
    assert mine["digest"] == world.spec["source"]["digest"]
    own = make_own_spec(world)
    job = world.b.create_job({**own, "source": mine})
    assert list(world.b.watch(job.name))[-1].job.state == pb.Job.SUCCEEDED
    world.b.delete(job.name)
    assert world.a.create_job(world.spec, request_id="mine").name == world.done.name


def test_results_that_tenants_share_outlive_the_deletion_of_one(world: World, tmp_path: Path) -> None:
    job = world.b.create_job(make_spec(world.b))
    final = list(world.b.watch(job.name))[-1].job
    assert final.result.address == world.done.result.address
    world.b.delete(job.name)
    world.a.download(world.done.name, tmp_path / "out")


def test_calls_at_once_keep_their_callers_apart(world: World) -> None:
    ours, theirs = {job.name for job in world.a.list()}, {job.name for job in world.b.list()}
    barrier = threading.Barrier(8)

    def names(i: int) -> tuple[bool, set[str]]:
        client = (world.a, world.b)[i % 2]
        if i < 8:
            barrier.wait(10)
        return i % 2 == 0, {job.name for job in client.list(page_size=1)}

    with ThreadPoolExecutor(8) as pool:
        for of_a, seen in pool.map(names, range(24)):
            assert seen == (ours if of_a else theirs)


def test_probes_need_no_credentials_and_reflection_does(world: World) -> None:
    with grpc.insecure_channel(world.background.server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        with pytest.raises(grpc.RpcError) as caught:
            list(reflection(iter([request])))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        bearer = [("authorization", f"Bearer {world.keys['studio']}")]
        assert next(iter(reflection(iter([request]), metadata=bearer))).list_services_response.service


def test_a_revoked_key_is_refused_from_the_next_call_on(world: World) -> None:
    engine = opened(f"sqlite:///{world.background.folder / 'orchestrator.sqlite'}")
    keys = Keys(engine)
    key = keys.create(tenant="studio")
    world.secrets.append(key)
    with Client(world.background.server.address, credentials=Credentials(token=key)) as client:
        client.get(world.done.name)
        keys.revoke(key)
        with pytest.raises(Unauthenticated):
            client.get(world.done.name)
    engine.dispose()


def test_the_audit_log_tells_who_changed_what(world: World) -> None:
    job = world.a.create_job({**world.spec, "options": {"seed": 5}})
    digest = world.a.upload([b"more"])["digest"]
    list(world.a.watch(job.name))
    error_of(lambda: world.b.delete(job.name))
    error_of(lambda: world.a.cancel(job.name))
    world.a.delete(job.name)
    error_of(lambda: world.a.cancel("jobs/x\n{" + "y" * 900))
    deadline = time.monotonic() + 10
    while not world.audit[-1]["subject"].startswith("jobs/x") and time.monotonic() < deadline:
        time.sleep(0.02)  # a refusal is on its way to the client a moment before its line is written
    told = [(line["call"], line["tenant"], line["subject"], line["outcome"]) for line in world.audit]
    assert told[-6:-1] == [
        ("CreateJob", "studio", job.name, "OK"),
        ("Upload", "studio", digest, "OK"),
        ("DeleteJob", "rival", job.name, "NOT_FOUND"),
        ("CancelJob", "studio", job.name, "FAILED_PRECONDITION"),
        ("DeleteJob", "studio", job.name, "OK"),
    ]
    assert told[-1][2].startswith("jobs/x\n{yyy") and len(told[-1][2]) == 160
    line = world.audit[-2]
    assert line["caller"] == "key:" + world.keys["studio"].split("_")[1]
    assert line["peer"].startswith("ipv4:127.0.0.1:") and line["time"].endswith("Z")
    assert not {"GetJob", "ListJobs", "WatchJob", "Download"} & {line["call"] for line in world.audit if line["tenant"]}


def test_the_audit_log_is_its_owners_alone(world: World) -> None:
    assert (world.background.folder / "audit.log").stat().st_mode & 0o777 == 0o600


def test_no_secret_is_written_anywhere(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    files = [path for path in world.background.folder.rglob("*") if path.is_file()]
    written = b"".join(path.read_bytes() for path in files) + "\n".join(world.log).encode()
    written += "".join(capfd.readouterr()).encode() + repr(Credentials(token=world.keys["studio"])).encode()
    assert b"studio" in written and len(world.secrets) > 8
    for secret in world.secrets:
        # The public part of a key may be written; what follows it may not.
        hidden = secret[22:] if secret.startswith("omni_") else secret.rpartition(".")[2] or secret
        assert len(hidden) < 8 or hidden.encode() not in written
