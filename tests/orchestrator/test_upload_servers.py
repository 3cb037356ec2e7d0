"""Uploads that outlive a server, and what a server bears of them. Each test has servers of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from conftest import Background, Caller, error_of
from sending import DATA, DIGEST, arrived, broken, messages, start

from orchestrator import uploads as module
from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.limits import Limits
from services.errors import Busy


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PIECE_BYTES", 100_000)


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


def test_another_process_goes_on_with_an_upload(tmp_path: Path) -> None:
    with Background(tmp_path) as first:
        call = Caller(first.server.address)
        session = start(call)
        broken(call, session, DATA[:500_000], 0)
        offset = arrived(call, session)
        call.close()
    with Background(tmp_path) as second:
        call = Caller(second.server.address)
        assert call("Upload", messages(DATA[offset:], upload=session.name, offset=offset)).file.digest == DIGEST
        call.close()


def test_an_upload_that_falls_silent_ends(tmp_path: Path) -> None:
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
