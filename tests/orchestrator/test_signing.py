"""Signed addresses open one file, for a while, and nothing else."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Background, Caller, error_of, make_spec
from google.protobuf.duration_pb2 import Duration

from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.client import Client
from orchestrator.file_settings import Files, Signing
from orchestrator.opening import opened
from orchestrator.signing import Signer, signing_key
from services.artifacts import Store
from services.errors import BadOption, Conflict, NotFound, PermissionDenied
from tests import s3


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Caller, pb.Job]]:
    with (
        Background(tmp_path_factory.mktemp("files"), files=Files(port=0)) as running,
        Client(running.server.address) as client,
    ):
        job = client.create_job(make_spec(client))
        list(client.watch(job.name))
        caller = Caller(running.server.address)
        yield caller, client.get(job.name)
        caller.close()


def fetched(url: str, *, method: str = "GET", **headers: str) -> tuple[int, bytes, Any]:
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers


def test_every_file_can_be_fetched_by_its_address(served: tuple[Caller, pb.Job]) -> None:
    call, job = served
    answer = call("SignUrls", pb.SignUrlsRequest(name=job.name))
    assert [one.path for one in answer.urls] == [file.path for file in job.result.files]
    for one, file in zip(answer.urls, job.result.files, strict=True):
        status, body, headers = fetched(one.url)
        assert status == 200 and len(body) == file.size_bytes == int(headers["Content-Length"])
    [layer] = call("SignUrls", pb.SignUrlsRequest(name=job.name, paths=["layers/vase/00000.png"])).urls
    status, body, headers = fetched(layer.url)
    assert body == b"vase" * 1000 and headers["Content-Type"] == "image/png"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_parts_of_a_file_can_be_fetched(served: tuple[Caller, pb.Job]) -> None:
    call, job = served
    [layer] = call("SignUrls", pb.SignUrlsRequest(name=job.name, paths=["layers/vase/00000.png"])).urls
    for asked, status, body, told in (
        ("bytes=1-4", 206, b"asev", "bytes 1-4/4000"),
        ("bytes=3998-", 206, b"se", "bytes 3998-3999/4000"),
        ("bytes=-3", 206, b"ase", "bytes 3997-3999/4000"),
        ("bytes=3990-9999", 206, b"sevasevase"[-10:], "bytes 3990-3999/4000"),
        ("bytes=4000-", 416, b"", "bytes */4000"),
    ):
        found = fetched(layer.url, Range=asked)
        assert found[:2] == (status, body) and found[2]["Content-Range"] == told
    assert fetched(layer.url, method="HEAD")[:2] == (200, b"")
    assert fetched(layer.url, method="POST")[0] == 405


def test_no_other_address_opens_anything(served: tuple[Caller, pb.Job]) -> None:
    call, job = served
    [layer] = call("SignUrls", pb.SignUrlsRequest(name=job.name, paths=["layers/vase/00000.png"])).urls
    base, _, query = layer.url.partition("?")
    expires, signature = query.split("&")
    root = base.split("/files/")[0]
    for wrong in (
        base,
        f"{base}?{expires}",
        f"{base}?{expires}&signature=",
        f"{base}?{expires}&signature=" + "0" * 64,
        f"{base}?{expires}0&{signature}",
        f"{base}?expires=9999999999&{signature}",
        f"{base}?expires=-1&{signature}",
        f"{base}?expires=٣&{signature}",
        f"{base.replace('vase', 'cup')}?{query}",
        f"{base.replace('/files/', '/files/x')}?{query}",
        f"{base}/../../../../etc/passwd?{query}",
        f"{root}/files/../../etc/passwd?{query}",
        f"{root}/files/{'a' * 5000}/b?{query}",
    ):
        status, body, _ = fetched(wrong.encode("ascii", "ignore").decode())
        assert status in (403, 404, 400), (wrong, status)
        assert b"Traceback" not in body and b"vase" * 5 not in body


def test_an_address_expires(tmp_path: Path) -> None:
    now = [1000.0]
    store = Store(str(tmp_path))
    signer = Signer(Signing(), store=store, key=b"k", base_url="http://host", clock=lambda: now[0])
    artifact: Any = None
    url = signer.sign("job", artifact, "a b/ü.png", ttl=10)
    assert url.startswith("http://host/files/job/a%20b/%C3%BC.png?expires=1010&signature=")
    signature = url.rpartition("=")[2]
    signer.check("job", "a b/ü.png", expires="1010", signature=signature)
    now[0] = 1011
    with pytest.raises(PermissionDenied, match="expired"):
        signer.check("job", "a b/ü.png", expires="1010", signature=signature)
    other = Signer(Signing(), store=store, key=b"other", base_url="http://host", clock=lambda: 0.0)
    with pytest.raises(PermissionDenied, match="not one"):
        other.check("job", "a b/ü.png", expires="1010", signature=signature)


def test_what_cannot_be_signed_is_refused(served: tuple[Caller, pb.Job], call: Caller, client: Client) -> None:
    signing, job = served
    long = pb.SignUrlsRequest(name=job.name, ttl=Duration(seconds=10**7))
    error = error_of(signing, "SignUrls", long)
    assert isinstance(error, BadOption) and error.field == "ttl"
    negative = pb.SignUrlsRequest(name=job.name, ttl=Duration(seconds=-1))
    assert error_of(signing, "SignUrls", negative).field == "ttl"
    missing = pb.SignUrlsRequest(name=job.name, paths=["../../etc/passwd"])
    assert isinstance(error_of(signing, "SignUrls", missing), NotFound)
    plain = client.create_job(make_spec(client))
    list(client.watch(plain.name))
    error = error_of(call, "SignUrls", pb.SignUrlsRequest(name=plain.name))
    assert isinstance(error, Conflict) and "Download" in error.message


def test_a_bucket_signs_its_own_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3.serving() as url:
        for name, value in s3.environment(url).items():
            monkeypatch.setenv(name, value)
        store = Store(s3.new_bucket(url))
        draft = store.draft("0" * 64, stage="finish")
        draft.put("layers/vase/00000.png", b"pixels")
        artifact = draft.commit(request={}, meta={})
        signer = Signer(Signing(), store=store, key=b"k", base_url="")
        signed = signer.sign("job", artifact, "layers/vase/00000.png", ttl=60)
        assert fetched(signed)[:2] == (200, b"pixels")
        assert "X-Amz-Expires=60" in signed and "X-Amz-Signature=" in signed


def test_all_servers_of_a_database_sign_with_the_same_key(database_url: str) -> None:
    one, two = opened(database_url), opened(database_url)
    assert signing_key(one) == signing_key(two) and len(signing_key(one)) == 32
    one.dispose()
    two.dispose()


@pytest.mark.parametrize("url", ["files.example.com", "ftp://host", "https://", "https://host?x=1"])
def test_an_address_that_cannot_begin_others_is_refused(url: str) -> None:
    with pytest.raises(BadOption):
        Signing(base_url=url)
