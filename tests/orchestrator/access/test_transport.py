"""TLS and mTLS over the loopback, and what refuses to start or to send."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import toys
from conftest import Background

sys.path.insert(0, str(Path(__file__).parent))

from makers import Authority, Pair

from orchestrator import cli
from orchestrator.access.credentials import Credentials
from orchestrator.access.keys import Keys
from orchestrator.access.settings import Access, TlsSettings, endpoint, is_loopback
from orchestrator.access.transport import server_credentials
from orchestrator.client import Client
from orchestrator.opening import opened
from orchestrator.server import serving
from orchestrator.settings import Settings
from services.errors import BadOption, OmnimatteError, Unauthenticated, Unavailable


@dataclass(frozen=True)
class Site:
    """A server that asks for a client's certificate and for an API key."""

    address: str
    key: str
    key_file: Path
    ca: Path
    mine: Pair
    strangers_ca: Path
    strangers: Pair


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("tls")
    ours, clients, others = (Authority(folder, name) for name in ("servers", "clients", "others"))
    server = ours.issue("server")
    tls = TlsSettings(server.certificate, server.key, client_ca=clients.certificate)
    with Background(folder, access=Access(api_keys=True, tls=tls)) as background:
        engine = opened(f"sqlite:///{folder / 'orchestrator.sqlite'}")
        key = Keys(engine).create(tenant="studio")
        engine.dispose()
        (folder / "api.key").write_text(key + "\n")
        yield Site(
            background.server.address, key, folder / "api.key", ours.certificate, clients.issue("alice"),
            others.certificate, others.issue("mallory"),
        )  # fmt: skip


def listed(site: Site, *, token: str = "", ca: Path | None = None, own: Pair | None = None, tls: bool = True) -> int:
    credentials = Credentials.load(
        ca=ca, certificate=own.certificate if own else None, key=own.key if own else None, token=token, tls=tls
    )
    with Client(site.address, credentials=credentials, timeout=10) as client:
        return len(list(client.list()))


def test_a_client_with_certificate_and_key_is_served(site: Site) -> None:
    assert listed(site, token=site.key, ca=site.ca, own=site.mine) == 0


def test_a_client_without_a_certificate_cannot_connect(site: Site) -> None:
    with pytest.raises(Unavailable):
        listed(site, token=site.key, ca=site.ca)


def test_a_certificate_of_another_authority_does_not_connect(site: Site) -> None:
    with pytest.raises(Unavailable):
        listed(site, token=site.key, ca=site.ca, own=site.strangers)


def test_a_certificate_alone_names_no_tenant(site: Site) -> None:
    with pytest.raises(Unauthenticated):
        listed(site, ca=site.ca, own=site.mine)


@pytest.mark.parametrize("which", ["strangers", "well known", "none"])
def test_a_client_does_not_believe_another_server(which: str, site: Site) -> None:
    ca = site.strangers_ca if which == "strangers" else None
    with pytest.raises(Unavailable):
        listed(site, token=site.key, ca=ca, own=site.mine if which != "none" else None, tls=which != "none")


def test_the_command_line_takes_credentials(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tls = ["--ca", site.ca, "--cert", site.mine.certificate, "--key", site.mine.key]
    command = [str(part) for part in ("jobs", "list", "--server", site.address, *tls)]
    monkeypatch.delenv("OMNIMATTE_API_KEY", raising=False)
    assert cli.main(command) == 6
    assert cli.main([*command, "--api-key-file", str(site.key_file)]) == 0
    monkeypatch.setenv("OMNIMATTE_API_KEY", site.key)
    assert cli.main(command) == 0
    monkeypatch.setenv("OMNIMATTE_API_KEY", site.key[:-1] + "!")
    assert cli.main(command) == 6
    assert site.key[22:] not in "".join(capsys.readouterr())


def test_a_token_is_not_sent_in_the_clear_to_another_machine() -> None:
    for address in ("10.0.0.7:8000", "omnimatte.example:8000", "[2001:db8::1]:8000", "localhost.example:8000"):
        with pytest.raises(BadOption, match="in the clear"):
            Client(address, credentials=Credentials(token="omni_x"))
    for address in ("127.0.0.1:1", "localhost:1", "[::1]:1"):
        Client(address, credentials=Credentials(token="omni_x")).close()


@pytest.mark.parametrize("text", ["a b", "a\nauthorization: x", "ä", "\x00"])
def test_what_cannot_be_a_key_is_refused_without_repeating_it(text: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(text)
    with pytest.raises(BadOption) as caught:
        Credentials.load(api_key_file=tmp_path / "key")
    assert text not in caught.value.message


def test_halves_of_credentials_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="belong together"):
        Credentials.load(certificate=tmp_path / "x")
    with pytest.raises(BadOption, match="cannot be read"):
        Credentials.load(ca=tmp_path / "x")


def test_a_certificate_with_another_ones_key_stops_the_server(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    one, two = authority.issue("one"), authority.issue("two")
    with pytest.raises(BadOption, match="cannot be used together"):
        server_credentials(TlsSettings(one.certificate, two.key))
    with pytest.raises(BadOption, match="cannot be read"):
        server_credentials(TlsSettings(one.certificate, tmp_path / "nothing"))
    with pytest.raises(BadOption, match="holds no certificate"):
        server_credentials(TlsSettings(one.certificate, one.key, client_ca=one.key))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.7", "omnimatte.example", "ipv4:127.0.0.1"])
async def test_a_server_for_strangers_does_not_start_without_authentication(host: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca").issue("server")
    tls = TlsSettings(authority.certificate, authority.key)
    settings = Settings(str(tmp_path / "s"), f"sqlite:///{tmp_path}/o.sqlite", host=host, access=Access(tls=tls))
    with contextlib.closing(toys.runner(settings.store)) as runner, pytest.raises(BadOption, match="--insecure"):
        async with serving(settings, runner):
            pass
    assert not (tmp_path / "o.sqlite").exists()
    for access in (Access(insecure=True), Access(api_keys=True)):
        access.require_safe(host)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "--insecure"),
        (["--host", "0.0.0.0", "--tls-cert", "x", "--tls-key", "y"], "--insecure"),
        (["--tls-cert", "x"], "--tls-key"),
        (["--client-ca", "x"], "--tls-cert"),
        (["--jwt-issuer", "x"], "--jwt-keys"),
    ],
)
def test_the_command_refuses_to_start(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["up", "--home", str(tmp_path / "home"), *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "home").exists()


def test_addresses_are_told_apart() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "", "10.0.0.1", "localhost.evil.example", "127.1"))
    assert (endpoint("::1", 5), endpoint("127.0.0.1", 5)) == ("[::1]:5", "127.0.0.1:5")


async def test_an_audit_log_that_cannot_be_written_stops_the_server(tmp_path: Path) -> None:
    access = Access(audit_log=str(tmp_path / "no" / "folder" / "audit.log"))
    settings = Settings(str(tmp_path / "s"), f"sqlite:///{tmp_path}/o.sqlite", access=access)
    with contextlib.closing(toys.runner(settings.store)) as runner, pytest.raises(OmnimatteError, match="audit log"):
        async with serving(settings, runner):
            pass
