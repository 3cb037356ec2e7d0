"""An orchestrator's settings as a file: all of them, and a sentence for whatever cannot be meant."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.settings_file import Deployment, read_deployment
from services.errors import BadOption

WHOLE: dict[str, Any] = {
    "store": "s3://films/omnimatte",
    "host": "0.0.0.0",
    "replicas": 2,
    "running_jobs": 8,
    "running_stages": 64,
    "profile": "production",
    "access": {
        "api_keys": True,
        "tls": {"certificate": "/tls/tls.crt", "key": "/tls/tls.key", "client_ca": "/ca/ca.crt"},
        "jwt": {"keys": "/jwt/keys", "issuer": "https://id", "audience": "omnimatte"},
    },
    "files": {"port": 8020, "signing": {"base_url": "https://files", "default_seconds": 60}},
    "pace": {"look": 1, "silent": 20},
    "limits": {"calls": 500},
    "hygiene": {"keep_results_seconds": math.inf},
    "models": {"casper": "casper.films.svc:8001", "ssr": "ssr.films.svc:8001"},
    "models_tls": {"ca": "/m/ca.crt", "certificate": "/m/tls.crt", "key": "/m/tls.key", "name": "films-models"},
    "stage_limits": {"casper": 1},
    "shards": {"namespace": "films", "template": "/pod.yaml", "stages": ["omnimatte"], "gather_seconds": 2},
}
ENVIRONMENT = {"OMNIMATTE_DATABASE_URL": "postgresql+psycopg://db/omnimatte", "OMNIMATTE_EXECUTOR_ID": "films-0"}


def read(folder: Path, data: Any, environment: dict[str, str] = ENVIRONMENT) -> Deployment:
    path = folder / "serve.yaml"
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data))
    return read_deployment(path, environment)


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    found = read(tmp_path, WHOLE)
    assert found.settings.database_url == ENVIRONMENT["OMNIMATTE_DATABASE_URL"]
    assert found.settings.executor_id == "films-0"
    assert found.settings.access.tls is not None and found.settings.access.tls.client_ca == Path("/ca/ca.crt")
    assert found.settings.access.jwt is not None and found.settings.access.jwt.tenant_claim == "tenant"
    assert found.settings.pace.look == 1.0 and isinstance(found.settings.pace.look, float)
    assert found.settings.hygiene.keep_results_seconds == math.inf
    assert found.models["ssr"] == "ssr.films.svc:8001" and found.stage_limits == {"casper": 1}
    assert found.shards is not None and found.shards.stages == ("omnimatte",) and found.shards.gather_seconds == 2.0
    assert found.models_tls is not None and found.models_tls.name == "films-models"


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    found = read(tmp_path, {"store": "/store"})
    assert found.settings.running_jobs == 1 and found.shards is None and not found.models


def test_tenants_are_read_from_their_own_file(tmp_path: Path) -> None:
    (tmp_path / "tenants.toml").write_text("[tenants.studio]\nweight = 4.0\n")
    found = read(tmp_path, {"store": "/store", "tenants": str(tmp_path / "tenants.toml")})
    assert found.settings.policies.of("studio").weight == 4.0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"stoer": "x"}, "stoer is not known; there are "),
        ({"store": 7}, "store is 7; it must be text."),
        ({"running_jobs": "8"}, "running_jobs is '8'; it must be a whole number."),
        ({"running_jobs": True}, "running_jobs is True; it must be a whole number."),
        ({"access": {"api_key": True}}, "access.api_key is not known"),
        ({"access": {"tls": {"certificate": "a"}}}, "access.tls.key is missing; give it."),
        ({"access": []}, "access must be a table; its names are api_keys"),
        ({"hygiene": {"grace_seconds": "long"}}, "hygiene.grace_seconds is 'long'; it must be a number."),
        ({"models": {"caspar": "x:1"}}, "models.caspar: there is no such stage"),
        ({"models": "casper"}, "models must be a table of stages."),
        ({"stage_limits": {"casper": "two"}}, "stage_limits.casper is 'two'; it must be a whole number."),
        ({"shards": {"namespace": "films"}}, "shards.template is missing; give it."),
        ({"shards": {"namespace": "n", "template": "t", "stages": "omnimatte"}}, "shards.stages must be a list"),
        ({"shards": {"namespace": "n", "template": "t", "stages": ["magic"]}}, "'magic', which is no stage"),
        ({"shards": {"namespace": "n", "template": "t", "ttl_seconds": 1}}, "shards.ttl_seconds is 1; give 60 or more"),
        ({"policies": {}}, "`policies` stand in a file of their own"),
        ({"tenants": "/nowhere.toml"}, "the tenants' file /nowhere.toml cannot be read"),
        ({"models_tls": {"ca": "a", "certificate": "b", "key": "c"}}, "models_tls.name is missing"),
    ],
)
def test_what_cannot_be_meant_is_named(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    with pytest.raises(BadOption) as refused:
        read(tmp_path, {"store": "/store", **change})
    assert says in refused.value.message


def test_what_is_missing_is_named_with_its_variable(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match=r"database_url is missing; give it \(or set OMNIMATTE_DATABASE_URL\)"):
        read(tmp_path, {"store": "/store"}, {})


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "", "\x00"])
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadOption):
        read(tmp_path, text)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@settings(deadline=None, max_examples=200)
@given(name=st.sampled_from(sorted(WHOLE)), junk=JUNK)
def test_no_value_breaks_it(tmp_path_factory: pytest.TempPathFactory, name: str, junk: Any) -> None:
    """It is read, or refused with a sentence."""
    try:
        read(tmp_path_factory.mktemp("junk"), {**WHOLE, name: junk})
    except BadOption as error:
        assert error.message.endswith(".")
