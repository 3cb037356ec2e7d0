"""Files come in whole or not at all, whatever breaks on the way, and go on where they were."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from conftest import Background, Caller, error_of

from orchestrator import uploads as module
from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.client import Client
from orchestrator.db import Database
from orchestrator.upload_sessions import Sessions
from services.artifacts import Store
from services.errors import BadInput, Busy, Conflict, NotFound, OmnimatteError

DATA = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PIECE_BYTES", 100_000)


def messages(data: bytes, *, finish: bool = True, **first: Any) -> Iterator[pb.UploadRequest]:
    yield pb.UploadRequest(**first)
    for start in range(0, len(data), 50_000):
        yield pb.UploadRequest(chunk=data[start : start + 50_000])
    if finish:
        yield pb.UploadRequest(finish_write=True)


def start(call: Caller, data: bytes = DATA) -> pb.UploadSession:
    digest = hashlib.sha256(data).hexdigest()
    request = pb.StartUploadRequest(filename="clip.mp4", size_bytes=len(data), digest=digest)
    session: pb.UploadSession = call("StartUpload", request)
    return session


def stored(background: Background, digest: str) -> bytes:
    return Store(background.store).get(digest).read("data")


def staged(background: Background) -> list[str]:
    return [path for path, _, _ in Store(background.store).listed("staging")]


def broken(call: Caller, session: pb.UploadSession, data: bytes, offset: int) -> None:
    """A stream whose connection breaks after `data`."""
    gate = threading.Event()

    def sending() -> Iterator[pb.UploadRequest]:
        yield from messages(data, finish=False, upload=session.name, offset=offset)
        gate.wait(20)

    def received() -> int:
        return int(call("GetUpload", pb.GetUploadRequest(name=session.name)).received_bytes)

    future = call.stub.Upload.future(sending())
    try:
        for _ in range(200):
            if received() >= offset + len(data) // 2:
                break
    finally:
        future.cancel()
        gate.set()
    # The server still keeps what it had read.
    before = -1
    while (now := received()) != before:
        before = now
        time.sleep(0.2)


def test_an_upload_goes_on_where_it_was_broken_off(call: Caller, background: Background) -> None:
    data = DATA[:-1] + b"a"
    session = start(call, data)
    assert not session.complete and session.received_bytes == 0 and not session.file.digest
    offset = 0
    for cut in (300_000, 700_000):
        broken(call, session, data[offset:cut], offset)
        offset = call("GetUpload", pb.GetUploadRequest(name=session.name)).received_bytes
        assert 0 < offset <= cut
    answer = call("Upload", messages(data[offset:], upload=session.name, offset=offset))
    assert answer.file == pb.File(digest=hashlib.sha256(data).hexdigest(), filename="clip.mp4")
    assert stored(background, answer.file.digest) == data and staged(background) == []
    done = call("GetUpload", pb.GetUploadRequest(name=session.name))
    assert done.complete and done.file == answer.file and done.received_bytes == len(data)
    # The last answer may have been lost: asking again is no harm.
    assert call("Upload", messages(b"", upload=session.name, offset=len(data))).file == answer.file


def test_a_client_that_comes_back_finds_its_upload_by_the_digest(call: Caller) -> None:
    data = DATA[:-1] + b"b"
    session = start(call, data)
    broken(call, session, data[:400_000], 0)
    again = start(call, data)
    assert again.name == session.name
    call("DeleteUpload", pb.DeleteUploadRequest(name=session.name))
    assert isinstance(error_of(call, "GetUpload", pb.GetUploadRequest(name=session.name)), NotFound)
    assert start(call, data).name != session.name


def test_a_file_that_was_sent_before_is_complete_at_once(call: Caller, client: Client) -> None:
    client.upload([DATA], filename="clip.mp4")
    session = start(call)
    assert session.complete and session.file.digest == DIGEST
    wrong = pb.StartUploadRequest(size_bytes=5, digest=DIGEST)
    assert error_of(call, "StartUpload", wrong).field == "size_bytes"


def test_bytes_that_are_not_what_was_told_are_refused_and_go(call: Caller, background: Background) -> None:
    session = start(call, DATA[:-1] + b"c")
    error = error_of(call, "Upload", messages(DATA[:-1] + b"X", upload=session.name))
    assert isinstance(error, BadInput) and error.field == "digest" and staged(background) == []
    assert isinstance(error_of(call, "GetUpload", pb.GetUploadRequest(name=session.name)), NotFound)
    error = error_of(call, "Upload", messages(b"other bytes", digest=DIGEST))
    assert isinstance(error, BadInput) and error.field == "digest" and staged(background) == []
    short = start(call, DATA[:-1] + b"d")
    error = error_of(call, "Upload", messages(DATA + b"more", upload=short.name))
    assert isinstance(error, BadInput) and "more than" in error.message
    error = error_of(call, "Upload", messages(DATA[:10], upload=start(call, DATA[:-1] + b"e").name))
    assert isinstance(error, BadInput) and "10 of 1024000 bytes" in error.message


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.StartUploadRequest(size_bytes=10, digest="xyz"), "digest"),
        (pb.StartUploadRequest(size_bytes=10, digest=DIGEST.upper()), "digest"),
        (pb.StartUploadRequest(size_bytes=0, digest=DIGEST), "size_bytes"),
        (pb.StartUploadRequest(size_bytes=-1, digest=DIGEST), "size_bytes"),
        (pb.StartUploadRequest(size_bytes=2**62, digest=DIGEST), "size_bytes"),
        (pb.StartUploadRequest(size_bytes=1, digest=DIGEST, filename="x" * 300), "filename"),
    ],
)
def test_an_upload_that_cannot_be_is_refused(call: Caller, request_: pb.StartUploadRequest, field: str) -> None:
    error = error_of(call, "StartUpload", request_)
    assert isinstance(error, BadInput) and error.field == field


def test_a_wrong_place_to_go_on_answers_the_right_one(call: Caller) -> None:
    session = start(call, DATA[:-1] + b"f")
    error = error_of(call, "Upload", messages(DATA, upload=session.name, offset=5))
    assert isinstance(error, Conflict) and error.field == "offset" and "go on at 0" in error.message
    for name in ("uploads/nothing", "jobs/x", "uploads/", "nonsense"):
        assert isinstance(error_of(call, "Upload", messages(DATA, upload=name)), NotFound)
    error = error_of(call, "Upload", messages(DATA, upload=session.name, digest=DIGEST))
    assert error.field == "digest"


def test_no_more_uploads_are_begun_at_once_than_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_OPEN_SESSIONS", 2)
    with Background(tmp_path) as running:
        call = Caller(running.server.address)
        sessions = [start(call, bytes([i])) for i in range(2)]
        request = pb.StartUploadRequest(size_bytes=1, digest=DIGEST)
        error = error_of(call, "StartUpload", request)
        assert isinstance(error, Busy) and error.retry_after
        call("Upload", messages(bytes([0]), upload=sessions[0].name))
        call("StartUpload", request)
        call.close()


def test_who_takes_an_upload_over_is_the_only_one_who_adds_to_it(database_url: str, tmp_path: Path) -> None:
    database, store = Database(database_url), Store(str(tmp_path / "store"))
    sessions = Sessions(database.engine, grace=1000)
    made = sessions.create(tenant="a", filename="", digest=DIGEST, size=6, complete=False)
    first = sessions.take(made.id, tenant="a")
    sessions.add(first, store, offset=0, data=b"abc")
    second = sessions.take(made.id, tenant="a")
    with pytest.raises(Conflict):
        sessions.add(first, store, offset=3, data=b"xyz")
    sessions.add(second, store, offset=3, data=b"def")
    with pytest.raises(Conflict):
        sessions.add(second, store, offset=3, data=b"def")
    assert b"".join(store.read(path) or b"" for path, _ in sessions.pieces(made)) == b"abcdef"
    with pytest.raises(NotFound):
        sessions.take(made.id, tenant="b")
    database.close()


def test_a_session_that_expired_is_gone_and_its_row_goes(database_url: str, tmp_path: Path) -> None:
    database = Database(database_url)
    now = [1000.0]
    sessions = Sessions(database.engine, grace=100, clock=lambda: now[0])
    made = sessions.create(tenant="a", filename="", digest=DIGEST, size=6, complete=False)
    assert made.expires == 1050 and sessions.open("a") == 1
    now[0] = 1051
    assert sessions.open("a") == 0 and sessions.same(tenant="a", digest=DIGEST, size=6) is None
    with pytest.raises(NotFound):
        sessions.get(made.id, tenant="a")
    sessions.create(tenant="a", filename="", digest=DIGEST, size=6, complete=False)
    now[0] = 0
    with pytest.raises(NotFound):
        sessions.get(made.id, tenant="a")
    database.close()


def test_another_process_goes_on_with_an_upload(tmp_path: Path) -> None:
    with Background(tmp_path) as first:
        call = Caller(first.server.address)
        session = start(call)
        broken(call, session, DATA[:500_000], 0)
        offset = call("GetUpload", pb.GetUploadRequest(name=session.name)).received_bytes
        call.close()
    with Background(tmp_path) as second:
        call = Caller(second.server.address)
        assert call("Upload", messages(DATA[offset:], upload=session.name, offset=offset)).file.digest == DIGEST
        call.close()


def test_an_upload_that_falls_silent_ends(tmp_path: Path) -> None:
    from orchestrator.limits import Limits

    with Background(tmp_path, limits=Limits(silence_seconds=0.3)) as running:
        call = Caller(running.server.address)
        session = start(call)
        done = threading.Event()

        def silent() -> Iterator[pb.UploadRequest]:
            yield from messages(DATA[:150_000], finish=False, upload=session.name)
            done.wait(20)

        with pytest.raises(grpc.RpcError) as caught:
            call.stub.Upload(silent())
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE and "nothing was sent" in caught.value.details()
        done.set()
        assert call("GetUpload", pb.GetUploadRequest(name=session.name)).received_bytes == 150_000
        call.close()


def test_errors_are_of_the_tree(call: Caller) -> None:
    assert isinstance(error_of(call, "Upload", iter([])), OmnimatteError)
