"""Mutual TLS between an orchestrator and a real Triton."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.runners.tls import ModelTls
from orchestrator.runners.triton import TritonRunner
from orchestrator.triton_server import TritonServer
from services.errors import BadOption, Unavailable
from services.stage import Request
from tests.model_repository.toy_server import running_toy_server
from tests.orchestrator.access.makers import Authority, Pair


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "ours")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[TritonServer]:
    pair = authority.issue("models")
    options = [
        "--grpc-use-ssl-mutual=true",
        f"--grpc-server-cert={pair.certificate}",
        f"--grpc-server-key={pair.key}",
        f"--grpc-root-cert={authority.certificate}",
    ]
    with running_toy_server(tmp_path_factory.mktemp("triton"), options=options) as server:
        yield server


async def asked(server: TritonServer, tls: ModelTls | None) -> dict[str, object]:
    runner = TritonRunner(server.grpc_address, tls=tls)
    try:
        return dict((await runner.run(Request("toy", {"steps": 2}), on_progress=lambda _: None)).meta)
    finally:
        await runner.close()


def of(authority: Authority, pair: Pair, *, name: str = "localhost") -> ModelTls:
    return ModelTls(ca=authority.certificate, certificate=pair.certificate, key=pair.key, name=name)


async def test_who_has_the_releases_certificate_is_served_at_any_address(
    server: TritonServer, authority: Authority
) -> None:
    assert await asked(server, of(authority, authority.issue("orchestrator"))) == {"steps": 2}


async def test_who_has_none_is_not(server: TritonServer) -> None:
    with pytest.raises(Unavailable):
        await asked(server, None)


async def test_who_has_another_authoritys_is_not(server: TritonServer, authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "strangers").issue("orchestrator")
    with pytest.raises(Unavailable):
        await asked(server, of(authority, stranger))


async def test_a_server_of_another_name_is_not_talked_to(server: TritonServer, authority: Authority) -> None:
    with pytest.raises(Unavailable):
        await asked(server, of(authority, authority.issue("orchestrator"), name="somebody-else"))


def test_a_missing_certificate_is_named(authority: Authority, tmp_path: Path) -> None:
    tls = ModelTls(ca=authority.certificate, certificate=tmp_path / "none.pem", key=tmp_path / "none.key", name="x")
    with pytest.raises(BadOption, match=r"none\.key for the model servers cannot be read"):
        TritonRunner("127.0.0.1:1", tls=tls)
