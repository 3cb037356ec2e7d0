"""Values that are wrong: each is refused before anything is installed, and the message says what to do."""

from __future__ import annotations

from typing import Any

import pytest
from helm_python.errors import HelmError, HelmValuesError

from services.catalogue.entries import ENTRIES
from services.profiles import PROFILES
from services.registry import STAGES
from tests.helm.chart import CHART, SMALL, Values, defaults, example, merged, objects, schema

GPU = {"gpu": {"count": 1}}
WEIGHTS = {"weights": {"enabled": True, "claim": {"existing": "filled"}}}


def refusal(values: Values) -> str:
    with pytest.raises(HelmError) as caught:
        objects(values)
    return str(caught.value)


TOGETHER: list[tuple[str, dict[str, Any], str]] = [
    ("no store", {"store": {"claim": {"enabled": False}}}, "no store: set store.s3.url to s3://bucket/prefix"),
    ("two stores", {"store": {"s3": {"url": "s3://bucket/x", "secret": "s"}}}, "there is one store"),
    (
        "a bucket without keys",
        {"store": {"claim": {"enabled": False}, "s3": {"url": "s3://bucket/x"}}},
        "store.s3.secret is missing: name the secret with AWS_ACCESS_KEY_ID",
    ),
    (
        "a bucket without TLS",
        {"store": {"claim": {"enabled": False}, "s3": {"url": "s3://bkt", "secret": "s", "endpoint": "http://minio"}}},
        "store.s3.endpoint has no TLS",
    ),
    (
        "keys that nobody uses",
        {"store": {"claim": {"enabled": False}, "s3": {"url": "s3://bkt", "secret": "s", "credentials": "identity"}}},
        "store.s3.credentials is identity and does not use it",
    ),
    ("no database", {"database": {"external": {"secret": ""}}}, "no database: set database.external.secret"),
    ("two databases", {"database": {"sqlite": {"enabled": True}}}, "there is one database, so leave one"),
    (
        "a trial database without a password",
        {"database": {"external": {"secret": ""}, "trial": {"enabled": True}}},
        "database.trial.secret is missing",
    ),
    (
        "replicas on a file",
        {"database": {"external": {"secret": ""}, "sqlite": {"enabled": True}}, "orchestrator": {"replicas": 2}},
        "orchestrator.replicas is 2, but a SQLite file has one writer",
    ),
    (
        "replicas on a trial database",
        {
            "database": {"external": {"secret": ""}, "trial": {"enabled": True, "secret": "s"}},
            "orchestrator": {"replicas": 3},
        },
        "orchestrator.replicas is 3, but only an external PostgreSQL outlives a pod",
    ),
    (
        "nobody asks who calls",
        {"orchestrator": {"settings": {"access": {"api_keys": False}}}},
        "nothing says who may call",
    ),
    (
        "asked and let in anyway",
        {"orchestrator": {"settings": {"access": {"insecure": True}}}},
        "access.insecure lets everybody in, and access.api_keys or access.jwt asks",
    ),
    (
        "public without TLS",
        {"tls": {"enabled": False}, "orchestrator": {"service": {"type": "LoadBalancer"}}},
        "orchestrator.service.type is LoadBalancer, so keys would travel readable",
    ),
    (
        "public without authentication",
        {
            "orchestrator": {
                "service": {"type": "NodePort"},
                "settings": {"access": {"api_keys": False, "insecure": True}},
            }
        },
        "everybody in the world could use the GPUs",
    ),
    (
        "tokens without keys",
        {"orchestrator": {"settings": {"access": {"jwt": {"issuer": "i", "audience": "a"}}}}},
        "orchestrator.jwtKeys.secret is missing",
    ),
    (
        "keys without tokens",
        {"orchestrator": {"jwtKeys": {"secret": "s"}}},
        "access.jwt with issuer and audience is missing",
    ),
    (
        "ranges of no balancer",
        {"orchestrator": {"service": {"loadBalancerSourceRanges": ["10.0.0.0/8"]}}},
        "loadBalancerSourceRanges does nothing with the type ClusterIP",
    ),
    (
        "a port twice",
        {"orchestrator": {"settings": {"files": {"port": 8010}}}},
        "orchestrator.settings.files.port is 8010, which is taken",
    ),
    ("no certificate", {"tls": {"secret": ""}}, "tls.secret is missing: name the secret with tls.crt and tls.key"),
    (
        "a certificate for nobody",
        {"tls": {"enabled": False, "certManager": {"enabled": True, "issuer": {"name": "i"}}}},
        "no server would use the certificate",
    ),
    ("no issuer", {"tls": {"certManager": {"enabled": True}}}, "tls.certManager.issuer.name is missing"),
    (
        "client certificates without TLS",
        {"tls": {"enabled": False, "clientCa": {"secret": "s"}}},
        "without TLS nobody shows a certificate",
    ),
    ("an empty group", {"models": {"extra": {}}}, "models.extra serves nothing: set models.extra.stages"),
    (
        "a stage twice",
        {"models": {"extra": {"stages": ["ssr"]}}},
        "the stage ssr is in models.extra and in models.ssr",
    ),
    ("a stage nowhere", {"models": {"ssr": {"enabled": False}}}, "no model group serves the stage ssr"),
    ("a group taken out", {"models": {"plate": None}}, "no model group serves the stage plate"),
    (
        "a limit for another's stage",
        {"models": {"ssr": {"stageLimits": {"depth": 2}}}},
        "models.ssr.stageLimits names depth, which the group does not serve",
    ),
    (
        "CUDA without a GPU",
        {"models": {"ssr": {"provider": "cuda"}}},
        "models.ssr.provider is cuda, but the group has no GPU",
    ),
    (
        "a large Casper without a GPU",
        {"profile": "commercial", **WEIGHTS},
        "the profile commercial needs a GPU for casper",
    ),
    (
        "DepthCrafter without a GPU",
        {"profile": "production", **WEIGHTS, "models": {"casper": GPU}},
        "the profile production needs a GPU for depth",
    ),
    (
        "a drain shorter than a step",
        {"models": {"casper": {"stepSeconds": 60, "drainSeconds": 30}}},
        "models.casper.drainSeconds is 30, less than a step (stepSeconds: 60)",
    ),
    (
        "no way to roll out",
        {"models": {"ssr": {"strategy": {"maxSurge": 0}}}},
        "allows neither a pod more nor a pod less",
    ),
    (
        "two autoscalers",
        {
            "prometheus": {"url": "http://p"},
            "models": {"ssr": {"autoscaling": {"hpa": {"enabled": True}, "keda": {"enabled": True}}}},
        },
        "models.ssr.autoscaling has both hpa and keda enabled",
    ),
    (
        "zero without KEDA",
        {"models": {"ssr": {"autoscaling": {"hpa": {"enabled": True}, "minReplicas": 0}}}},
        "only KEDA can wake a Deployment that has no pod",
    ),
    (
        "more at least than at most",
        {"models": {"ssr": {"autoscaling": {"hpa": {"enabled": True}, "minReplicas": 9}}}},
        "minReplicas is 9, more than maxReplicas (4)",
    ),
    (
        "gone before it was loaded",
        {"models": {"ssr": {"loadSeconds": 1000, "autoscaling": {"hpa": {"enabled": True}}}}},
        "stabilizationSeconds is 900, less than loading takes (loadSeconds: 1000)",
    ),
    (
        "asleep before it was loaded",
        {
            "prometheus": {"url": "http://p"},
            "models": {"ssr": {"loadSeconds": 700, "autoscaling": {"keda": {"enabled": True}}}},
        },
        "cooldownSeconds is 600, less than loading takes (loadSeconds: 700)",
    ),
    (
        "KEDA without Prometheus",
        {"models": {"ssr": {"autoscaling": {"keda": {"enabled": True}}}}},
        "prometheus.url is missing: KEDA has nobody to ask",
    ),
    (
        "a name that is taken",
        {"models": {"ssr": {"enabled": False}, "postgres": {"stages": ["ssr"]}}},
        "models.postgres cannot be called that",
    ),
    (
        "a worker that cannot save",
        {"workers": {"enabled": True, "stepSeconds": 90}},
        "workers.drainSeconds is 60, less than a step (stepSeconds: 90)",
    ),
    (
        "a worker's provider without a GPU",
        {"workers": {"enabled": True, "provider": "tensorrt"}},
        "workers.provider is tensorrt, but workers have no GPU",
    ),
    (
        "whole jobs without a GPU",
        {
            "profile": "commercial",
            **WEIGHTS,
            "models": {"casper": GPU},
            "workers": {"enabled": True, "settings": {"batch_jobs": True}},
        },
        "workers.settings.batch_jobs runs whole jobs in a worker",
    ),
    ("no weights", {"profile": "commercial", "models": {"casper": GPU}}, "needs published weights"),
    ("an empty volume", {"weights": {"enabled": True}}, "the weights volume would stay empty"),
    (
        "a licence that nobody read",
        {"weights": {"enabled": True, "names": ["sam2.1-large"]}},
        "weights.acceptLicence is false: read the licences of sam2.1-large",
    ),
    (
        "files from nowhere",
        {"weights": {"enabled": True, "acceptLicence": True, "folder": {"names": ["edgetam"]}}},
        "weights.folder.claim is missing",
    ),
    (
        "engines on CPUs",
        {"engines": {"enabled": True, "gpus": {"h100": {}}}},
        "engines.enabled is true, but no model group has the provider tensorrt",
    ),
    (
        "engines for no GPU",
        {"engines": {"enabled": True}, "models": {"ssr": {**GPU, "provider": "tensorrt"}}},
        "engines.gpus is empty",
    ),
    ("an image of no version", {"image": {"models": {"tag": "latest"}}}, "image.models.tag is latest"),
]


@pytest.mark.parametrize(("values", "sentence"), [pytest.param(*case[1:], id=case[0]) for case in TOGETHER])
def test_what_does_not_go_together_is_refused_with_a_sentence(values: dict[str, Any], sentence: str) -> None:
    told = refusal(merged(SMALL, values))
    assert "these values do not go together:" in told
    (line,) = [line for line in told.split("\n") if sentence in line]
    assert line.startswith("  - ") and line.endswith(".")


def test_the_bare_chart_says_all_that_is_missing_at_once() -> None:
    told = refusal({})
    assert [line.split(":")[0] for line in told.split("\n")[1:] if line] == [
        "  - no store",
        "  - no database",
        "  - tls.secret is missing",
    ]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"orchestrator": {"replicas": "2"}}, "'/orchestrator/replicas': got string, want integer"),
    ({"orchestrator": {"replicas": 0}}, "'/orchestrator/replicas': minimum: got 0, want 1"),
    ({"orchestrator": {"replica": 2}}, "'/orchestrator': additional properties 'replica' not allowed"),
    ({"orchestrator": {"settings": {"store": "s3://b"}}}, "additional properties 'store' not allowed"),
    ({"orchestrator": {"settings": {"database_url": "postgresql://u:p@h/d"}}}, "'database_url' not allowed"),
    ({"profile": "compat"}, "'/profile': value must be one of 'compact', 'production', 'commercial'"),
    ({"models": {"ssr": {"stages": ["srs"]}}}, "'/models/ssr/stages/0': value must be one of 'ingest'"),
    ({"models": {"ssr": {"gpu": {"count": -1}}}}, "'/models/ssr/gpu/count': minimum: got -1, want 0"),
    ({"models": {"ssr": {"gpu": {"resource": "gpu"}}}}, "'/models/ssr/gpu/resource': 'gpu' does not match pattern"),
    ({"models": {"Big": {"stages": ["ssr"]}}}, "'Big' does not match pattern"),
    ({"models": {"ssr": {"sharedMemory": "1GB"}}}, "'/models/ssr/sharedMemory': '1GB' does not match pattern"),
    ({"models": {"ssr": {"resources": {"limits": {"memory": "lots"}}}}}, "'lots' does not match pattern"),
    ({"models": {"ssr": {"env": {"A": 1}}}}, "'/models/ssr/env/A': got number, want string"),
    ({"store": {"s3": {"url": "bucket/prefix"}}}, "'/store/s3/url': 'bucket/prefix' does not match pattern"),
    ({"store": {"claim": {"accessMode": "ReadWriteOncePod"}}}, "value must be one of 'ReadWriteOnce', 'ReadWriteMany'"),
    ({"database": {"external": {"url": "postgresql://u:p@h/d"}}}, "additional properties 'url' not allowed"),
    ({"podSecurity": {"runAsUser": 0}}, "'/podSecurity/runAsUser': minimum: got 0, want 1"),
    ({"image": {"models": {"digest": "abc"}}}, "'/image/models/digest': 'abc' does not match pattern"),
    ({"image": None}, "missing property 'image'"),
    ({"modelDefaults": {"gpu": None}}, "'/modelDefaults': missing property 'gpu'"),
    ({"networkPolicy": {"dns": []}}, "'/networkPolicy/dns': minItems: got 0, want 1"),
    ({"networkPolicy": {"store": {"to": [{}]}}}, "'/networkPolicy/store/to/0': minProperties: got 0, want 1"),
    ({"workers": {"settings": {"stages": ["casper"]}}}, "'/workers/settings/stages/0': value must be 'omnimatte'"),
    (
        {"models": {"ssr": {"autoscaling": {"scaleDown": {"stabilizationSeconds": 4000}}}}},
        "maximum: got 4,000, want 3,600",
    ),
    ({"monitoring": {"scrape": "servicemonitor"}}, "value must be one of 'none', 'podmonitor', 'annotations'"),
    ({"tenants": {"default": {"weight": 0}}}, "exclusiveMinimum: got 0, want 0"),
    ({"omnimatte": {}}, "additional properties 'omnimatte' not allowed"),
]


@pytest.mark.parametrize(("values", "said"), WRONG)
def test_a_wrong_value_is_refused_and_its_place_is_named(values: dict[str, Any], said: str) -> None:
    with pytest.raises(HelmValuesError) as caught:
        objects(merged(SMALL, values))
    assert said in str(caught.value)


def test_a_release_whose_name_begins_with_a_digit_is_refused() -> None:
    import helm_python

    with pytest.raises(HelmError, match="begins with a digit"):
        helm_python.Chart.load(CHART).render(dict(SMALL), name="4k")


def _places(node: Any, path: str = "") -> list[tuple[str, dict[str, Any]]]:
    found = [(path, node)] if isinstance(node, dict) else []
    for key, value in node.items() if isinstance(node, dict) else enumerate(node if isinstance(node, list) else ()):
        found += _places(value, f"{path}/{key}")
    return found


def test_the_schema_lets_nothing_unknown_in() -> None:
    open_on_purpose = ("/global", "/nodeAffinity", "/podAffinity", "/podAntiAffinity")
    for path, node in _places(schema()):
        if node.get("type") == "object" and not path.endswith(open_on_purpose):
            assert "additionalProperties" in node and node["additionalProperties"] is not True, path


def test_the_schema_knows_every_value_and_every_value_is_in_the_schema() -> None:
    # The settings' other fields have the program's own defaults; limits are of stages that somebody names.
    own = ("/orchestrator/settings", "/tenants", "/modelDefaults/stageLimits")

    def compare(node: dict[str, Any], value: Any, path: str) -> None:
        while "$ref" in node:
            node = schema()["definitions"][node["$ref"].rpartition("/")[2]]
        if "properties" in node and isinstance(value, dict):
            extra = set(node["properties"]) - set(value) - {"global"}
            assert not extra or path.startswith(own), (path, extra)
            for key, one in value.items():
                if path != "/models":
                    compare(node["properties"][key], one, f"{path}/{key}")

    compare(schema(), _without_free(defaults()), "")


def _without_free(values: dict[str, Any]) -> dict[str, Any]:
    """Affinities and resources may have more keys than their defaults."""
    free = ("affinity", "requests", "limits")
    return {
        key: _without_free(value) if isinstance(value, dict) and key not in free else ([] if key in free else value)
        for key, value in values.items()
    }


def test_the_chart_knows_the_stages_profiles_and_weights_of_the_program() -> None:
    assert set(schema()["definitions"]["stage"]["enum"]) == set(STAGES)
    assert set(schema()["properties"]["profile"]["enum"]) == set(PROFILES)
    imported = {entry.name for entry in ENTRIES if entry.imported}
    assert imported == {entry.name for entry in ENTRIES if entry.name.startswith("casper-")}
    told = refusal(merged(SMALL, {"weights": {"enabled": True, "acceptLicence": True, "names": sorted(imported)}}))
    assert told.count("is on no hub") == len(imported)


def test_the_examples_name_weights_that_there_are() -> None:
    known = {entry.name: entry for entry in ENTRIES}
    for name in ("one-gpu", "air-gapped"):
        weights = example(name)["weights"]
        named = {*weights.get("names", ()), *weights.get("folder", {}).get("names", ())}
        needed = {f"{stage}: {model}" for stage, model in PROFILES["commercial"].models.items()}
        served = {known[one].serves for one in named}
        assert needed <= {one.strip() for text in served for one in text.split(",")} | served
