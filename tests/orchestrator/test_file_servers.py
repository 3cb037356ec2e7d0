"""Signed addresses beyond the life of a job or a server. Each test has servers of its own."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from conftest import Background, Caller, make_spec
from sending import ask

from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.client import Client
from orchestrator.file_settings import Files

LAYER = b"vase" * 1000


def test_the_address_of_a_deleted_job_opens_nothing(tmp_path: Path) -> None:
    with Background(tmp_path, files=Files(port=0)) as running, Client(running.server.address) as client:
        job = client.create_job(make_spec(client))
        list(client.watch(job.name))
        [address] = client.sign_urls(job.name, paths=["index.html"]).values()
        assert ask(address)[0] == 200
        client.delete(job.name)
        status, body, _ = ask(address)
        assert status == 404 and b"Traceback" not in body


def test_an_address_outlives_the_server_that_signed_it(tmp_path: Path) -> None:
    """All replicas of a database have the same key; so does the next server."""
    with Background(tmp_path, files=Files(port=0)) as one, Client(one.server.address) as client:
        job = client.create_job(make_spec(client))
        list(client.watch(job.name))
        before = client.sign_urls(job.name, paths=["index.html"])["index.html"]
    with Background(tmp_path, files=Files(port=0)) as two:
        call = Caller(two.server.address)
        now = call("SignUrls", pb.SignUrlsRequest(name=job.name, paths=["index.html"])).urls[0].url
        call.close()
        assert ask(before.replace(urlsplit(before).netloc, urlsplit(now).netloc))[0] == 200
