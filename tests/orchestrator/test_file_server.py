"""What the server of signed addresses answers to browsers, players, and those who ask oddly."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conftest import Background, make_spec
from sending import ask

from orchestrator.arguments import parser
from orchestrator.cli import _files
from orchestrator.client import Client
from orchestrator.file_settings import Files

LAYER = b"vase" * 1000


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with (
        Background(tmp_path_factory.mktemp("files"), files=Files(port=0)) as running,
        Client(running.server.address) as client,
    ):
        job = client.create_job(make_spec(client))
        list(client.watch(job.name))
        yield client.sign_urls(job.name, paths=["layers/vase/00000.png"])["layers/vase/00000.png"]


def test_a_file_keeps_its_name(url: str) -> None:
    assert ask(url)[2]["Content-Disposition"] == "inline; filename*=UTF-8''00000.png"


@pytest.mark.parametrize("asked", ["bytes=-0", "bytes=4000-", "bytes=9999-10000"])
def test_a_part_that_is_not_there_is_refused(url: str, asked: str) -> None:
    status, body, headers = ask(url, Range=asked)
    assert (status, body, headers["Content-Range"]) == (416, b"", "bytes */4000")


@pytest.mark.parametrize("asked", ["items=0-1", "bytes=0-1,5-6", "bytes=-", "bytes=x-y", "bytes=5-2"])
def test_a_range_that_is_not_understood_gets_the_whole_file(url: str, asked: str) -> None:
    status, body, headers = ask(url, Range=asked)
    assert (status, body) == (200, LAYER) and "Content-Range" not in headers


def test_the_head_of_a_part_says_its_length(url: str) -> None:
    status, body, headers = ask(url, method="HEAD", Range="bytes=10-19")
    assert (status, body, headers["Content-Length"]) == (206, b"", "10")


@pytest.mark.parametrize(
    ("arguments", "host", "port"),
    [
        (["up"], "127.0.0.1", 8020),
        (["up", "--host", "0.0.0.0", "--api-keys"], "127.0.0.1", 8020),
        (["up", "--host", "0.0.0.0", "--api-keys", "--files-port", "9000"], "0.0.0.0", 9000),
        (["up", "--files-port", "0"], "127.0.0.1", 0),
        (["serve"], "127.0.0.1", None),
        (["serve", "--host", "0.0.0.0", "--api-keys", "--files-port", "9000"], "0.0.0.0", 9000),
    ],
)
def test_a_stack_of_one_machine_serves_its_files_there(arguments: list[str], host: str, port: int | None) -> None:
    files = _files(parser().parse_args(arguments))
    assert (files.host, files.port) == (host, port)
