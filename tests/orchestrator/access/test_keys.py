"""API keys: shown once, kept as a digest, refused in one way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from orchestrator import cli
from orchestrator.access.keys import REFUSED, Keys
from orchestrator.opening import opened
from services.errors import BadOption, NotFound, Unauthenticated


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    opened_engine = opened(f"sqlite:///{tmp_path / 'orchestrator.sqlite'}")
    yield opened_engine
    opened_engine.dispose()


@pytest.fixture
def keys(engine: sa.Engine) -> Keys:
    return Keys(engine)


def public(key: str) -> str:
    return key.split("_")[1]


def refused(keys: Keys, text: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        keys.verify(text)
    return caught.value.message


def test_a_key_opens_its_tenant_and_no_other(keys: Keys) -> None:
    ours, theirs = keys.create(tenant="studio"), keys.create(tenant="rival", days=1)
    assert (keys.verify(ours).tenant, keys.verify(theirs).tenant) == ("studio", "rival")
    assert keys.verify(ours).name == f"key:{public(ours)}"
    assert [key.tenant for key in keys.list()] == ["studio", "rival"]
    assert [key.id for key in keys.list(tenant="rival")] == [public(theirs)]


def test_a_key_is_refused_in_the_same_words_whatever_is_wrong(keys: Keys) -> None:
    good, revoked, expired = keys.create(tenant="a"), keys.create(tenant="a"), keys.create(tenant="a", days=1e-9)
    keys.revoke(public(revoked))
    start, secret = good[:22], good[22:]
    other = "A" if secret[0] != "A" else "B"
    wrong = [
        revoked,
        expired,
        start + other + secret[1:],
        "omni_" + "0" * 16 + "_" + secret,
        start + expired[22:],
        good + "x",
        good[:-1],
        good.upper(),
        "omni_",
        "",
        "omni_%_" + secret,
        "' OR 1=1 --",
        good + "\n",
    ]
    assert {refused(keys, text) for text in wrong} == {REFUSED}
    assert keys.verify(good).tenant == "a"


def test_a_revoked_key_stays_so_and_can_be_named_by_its_id_or_whole(keys: Keys) -> None:
    one, two = keys.create(tenant="a"), keys.create(tenant="a")
    keys.revoke(public(one))
    when = keys.list()[0].revoked
    keys.revoke(one)
    keys.revoke(two)
    assert keys.list()[0].revoked == when > 0
    assert refused(keys, two) == REFUSED
    with pytest.raises(NotFound) as caught:
        keys.revoke("omni_0000000000000000_" + "s" * 43)
    assert "sss" not in caught.value.message


def test_secrets_are_not_in_the_database(keys: Keys, engine: sa.Engine, tmp_path: Path) -> None:
    secret = keys.create(tenant="studio")[22:].encode()
    engine.dispose()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"studio" in kept and secret not in kept


def test_two_keys_have_nothing_in_common(keys: Keys) -> None:
    made = {keys.create(tenant="a") for _ in range(20)}
    assert len({public(key) for key in made}) == len({key[22:] for key in made}) == 20
    assert all(len(key[22:]) == 43 for key in made), "256 bits"


@pytest.mark.parametrize("tenant", ["", "*", "a/b", "../x", "-a", "ä", "a" * 64, "a b", "a\n"])
def test_odd_names_of_tenants_are_refused(keys: Keys, tenant: str) -> None:
    with pytest.raises(BadOption, match="name of a tenant"):
        keys.create(tenant=tenant)


def test_the_command_makes_lists_and_revokes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        status = cli.main(["keys", *arguments, "--home", str(tmp_path / "home")])
        told = capsys.readouterr()
        return status, told.out, told.err

    status, out, err = run("create", "--tenant", "studio", "--days", "90")
    key = out.strip()
    assert status == 0 and key.startswith("omni_") and key not in err
    status, out, _ = run("list")
    assert status == 0 and public(key) in out and "studio" in out and "until" in out and key[22:] not in out
    assert run("revoke", public(key))[0] == 0
    assert "revoked" in run("list", "--tenant", "studio")[1]
    status, _, err = run("revoke", "nothing")
    assert status == 3 and "keys list" in err
    assert run("create", "--tenant", "a b")[0] == 2


def test_the_command_takes_the_servers_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMNIMATTE_DATABASE_URL", f"sqlite:///{tmp_path / 'other.sqlite'}")
    assert cli.main(["keys", "create", "--tenant", "studio"]) == 0
    assert (tmp_path / "other.sqlite").exists()
    assert cli.main(["keys", "list", "--database", "nosuch://user:hush@host/x"]) == 2
    assert cli.main(["keys", "list", "--database", f"sqlite:///{tmp_path}/no/such/folder.sqlite"]) == 5
    assert "hush" not in capsys.readouterr().err
