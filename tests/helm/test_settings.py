"""The file that the orchestrator reads has the names of its settings, and values of their types."""

from __future__ import annotations

import dataclasses
import math
import tomllib
import types
import typing
from pathlib import Path
from typing import Any

import pytest

from orchestrator.runners.kubernetes.manifest import read_template
from orchestrator.runners.kubernetes.settings import Shards
from orchestrator.scheduling.policies_file import read_policies
from orchestrator.settings import Settings
from orchestrator.settings_file import read_deployment
from services.registry import STAGES
from tests.helm.chart import EXAMPLES, NAME, SMALL, example, merged, named, objects, schema, settings_of

BESIDE = {"models", "models_tls", "stage_limits", "shards", "tenants"}
"""Keys of the file that are no fields of `Settings`."""

ELSEWHERE = {"database_url", "executor_id", "policies"}
"""Fields that the environment or another file gives."""

SHARDS = {
    "namespace", "template", "stages", "batch_jobs", "retries", "deadline_seconds", "ttl_seconds", "queue",
    "priority_class", "gather_seconds", "max_shards", "poll_seconds", "reconcile_seconds",
}  # fmt: skip

WHOLE = merged(
    example("production"),
    {
        "orchestrator": {
            "settings": {
                "max_upload_bytes": 20_000_000_000,
                "resume": False,
                "access": {"jwt": {"issuer": "i", "audience": "a", "tenant_claim": "t"}},
                "files": {"port": 8020, "signing": {"base_url": "https://files.example.com", "default_seconds": 60}},
                "pace": {"look": 0.25, "beat": 2, "silent": 20},
                "limits": {"message_bytes": 8_388_608, "call_seconds": 60, "calls": 500},
                "hygiene": {"keep_results_seconds": ".inf", "collect_seconds": 60, "keep_intermediates_seconds": 60},
            },
            "jwtKeys": {"secret": "keys"},
        },
        "tls": {"clientCa": {"secret": "clients"}},
        "models": {"casper": {"stageLimits": {"casper": 1}}},
    },
)
CASES = {**{name: example(name) for name in EXAMPLES}, "least": SMALL, "whole": WHOLE}


def fits(value: Any, kind: Any) -> bool:
    """Whether YAML's `value` can stand for a field of that type: whole numbers do for floats, texts for paths."""
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        return any(fits(value, one) for one in typing.get_args(kind))
    if kind is type(None):
        return value is None
    if typing.get_origin(kind) is tuple:
        return isinstance(value, list) and all(fits(item, typing.get_args(kind)[0]) for item in value)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is Path:
        return isinstance(value, str)
    if dataclasses.is_dataclass(kind):
        assert isinstance(kind, type)
        return isinstance(value, dict) and not misfits(value, kind)
    return isinstance(value, kind)


def misfits(data: dict[str, Any], kind: type) -> list[str]:
    hints = typing.get_type_hints(kind)
    return [key for key, value in data.items() if key not in hints or not fits(value, hints[key])]


@pytest.mark.parametrize("case", CASES)
def test_every_key_is_a_field_of_the_settings(case: str) -> None:
    data = settings_of(objects(CASES[case]))
    assert misfits({key: value for key, value in data.items() if key not in BESIDE}, Settings) == []
    needed = {field.name for field in dataclasses.fields(Settings) if field.default is dataclasses.MISSING}
    assert "store" in data and not ELSEWHERE & set(data) and needed


def test_large_numbers_and_never_arrive_as_they_are() -> None:
    data = settings_of(objects(WHOLE))
    assert data["max_upload_bytes"] == 20_000_000_000 and isinstance(data["max_upload_bytes"], int)
    assert data["hygiene"]["limit_bytes"] == 20_000_000_000_000
    assert data["hygiene"]["keep_results_seconds"] == math.inf
    assert data["access"]["tls"]["client_ca"] == "/etc/omnimatte/client-ca/ca.crt"
    assert data["access"]["jwt"]["keys"] == "/etc/omnimatte/jwt/keys"
    # Browsers show no certificate of their own.
    assert set(data["files"]["tls"]) == {"certificate", "key"}


def test_the_schema_offers_every_setting_that_is_the_operator_s() -> None:
    def compare(node: dict[str, Any], kind: type, computed: set[str]) -> None:
        offered = set(node["properties"])
        fields = {field.name for field in dataclasses.fields(kind)}
        assert offered <= fields
        assert fields - offered <= computed, kind

    settings = schema()["properties"]["orchestrator"]["properties"]["settings"]
    by_chart = {"store", "host", "port", "metrics_host", "metrics_port", "replicas", "profile"}
    compare(settings, Settings, by_chart | ELSEWHERE)
    hints = typing.get_type_hints(Settings)
    for name in ("pace", "limits", "hygiene"):
        compare(settings["properties"][name], hints[name], set())
    compare(settings["properties"]["access"], hints["access"], {"tls"})
    compare(settings["properties"]["files"], hints["files"], {"host", "tls"})


def test_shards_have_the_names_of_the_runner_s_settings() -> None:
    data = settings_of(objects(example("production")))["shards"]
    assert set(data) == SHARDS
    assert data["template"] == "/etc/omnimatte/worker-pod.yaml" and data["namespace"] == "video"
    assert misfits(data, Shards) == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_orchestrator_reads_the_files_of_every_example(name: str, tmp_path: Path) -> None:
    (config,) = [one for one in objects(example(name)) if "serve.yaml" in one.get("data", {})]
    for file, text in config["data"].items():
        (tmp_path / file).write_text(text.replace("/etc/omnimatte", str(tmp_path)))
    environment = {"OMNIMATTE_DATABASE_URL": "postgresql+psycopg://db/omnimatte", "OMNIMATTE_EXECUTOR_ID": "demo-0"}
    deployment = read_deployment(tmp_path / "serve.yaml", environment)
    deployment.settings.require_identity()
    deployment.settings.access.require_safe(deployment.settings.host)
    assert set(deployment.models) == set(STAGES)
    if deployment.shards is not None:
        assert read_template(deployment.shards.template)["spec"]["containers"]


@pytest.mark.parametrize("case", CASES)
def test_every_stage_has_an_address_that_a_service_answers_to(case: str) -> None:
    manifests = objects(CASES[case])
    addresses = settings_of(manifests)["models"]
    assert set(addresses) == set(STAGES)
    for stage, address in addresses.items():
        host, _, port = address.partition(":")
        service, *domain = host.split(".")
        assert domain == ["video", "svc", "cluster", "local"] and port == "8001"
        group = service.removeprefix(f"{NAME}-")
        assert named(manifests, "Service", group)["spec"]["clusterIP"] == "None"
        command = named(manifests, "Deployment", group)["spec"]["template"]["spec"]["containers"][0]["command"]
        assert f"--load-model={stage}" in command


def test_without_worker_jobs_nothing_is_said_of_them() -> None:
    manifests = objects(SMALL)
    assert "shards" not in settings_of(manifests)
    assert "worker-pod.yaml" not in named(manifests, "ConfigMap", "config")["data"]


def test_tenants_are_read_by_the_orchestrator_itself(tmp_path: Path) -> None:
    values = {
        "tenants": {
            "default": {"weight": 1, "running": 4, "pending": 1000},
            "tenants": {"studio": {"weight": 4.5}, "big.one": {"running": 0, "pending": 20000000}},
        }
    }
    text = named(objects(merged(SMALL, values)), "ConfigMap", "config")["data"]["tenants.toml"]
    place = tmp_path / "tenants.toml"
    place.write_text(text, "utf-8")
    policies = read_policies(place)
    assert policies.of("studio").weight == 4.5
    assert policies.of("big.one").pending == 20_000_000
    assert policies.of("anybody").running == 4
    assert tomllib.loads(named(objects(SMALL), "ConfigMap", "config")["data"]["tenants.toml"])


def test_a_changed_setting_starts_the_orchestrators_anew() -> None:
    def digest(values: dict[str, Any]) -> str:
        pod = named(objects(merged(SMALL, values)), "StatefulSet", "orchestrator")["spec"]["template"]
        return str(pod["metadata"]["annotations"]["checksum/config"])

    same = digest({})
    assert digest({"orchestrator": {"service": {"port": 9000}}}) == same
    assert digest({"orchestrator": {"settings": {"running_jobs": 3}}}) != same
    assert digest({"tenants": {"default": {"running": 3}}}) != same
    assert digest({"workers": {"enabled": True}}) != same


def test_replicas_have_their_own_names_and_know_their_pod() -> None:
    pod = named(objects(SMALL), "StatefulSet", "orchestrator")["spec"]["template"]["spec"]
    env = {one["name"]: one for one in pod["containers"][0]["env"]}
    assert env["OMNIMATTE_EXECUTOR_ID"]["value"] == "$(OMNIMATTE_POD_NAME)"
    names = list(env)
    assert names.index("OMNIMATTE_POD_NAME") < names.index("OMNIMATTE_EXECUTOR_ID"), "or it would not be filled in"
    assert {"OMNIMATTE_POD_UID", "OMNIMATTE_POD_NAMESPACE", "OMNIMATTE_DATABASE_URL"} <= set(env)


def test_sqlite_and_the_trial_database_have_addresses_without_a_password_in_them() -> None:
    def url(database: dict[str, Any]) -> Any:
        values = merged(SMALL, {"database": {"external": {"secret": ""}, **database}})
        pod = named(objects(values), "StatefulSet", "orchestrator")["spec"]["template"]["spec"]
        return {one["name"]: one for one in pod["containers"][0]["env"]}["OMNIMATTE_DATABASE_URL"]["value"]

    assert url({"sqlite": {"enabled": True}}) == "sqlite:////var/lib/omnimatte/orchestrator.sqlite"
    trial = url({"trial": {"enabled": True, "secret": "s"}})
    assert trial == f"postgresql+psycopg://omnimatte:$(OMNIMATTE_DATABASE_PASSWORD)@{NAME}-postgres:5432/omnimatte"
