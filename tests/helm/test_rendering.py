"""What the chart renders is what an API server takes: for every example, and for whatever the schema allows."""

from __future__ import annotations

import copy
import re
from typing import Any

import helm_python
import pytest
import yaml
from helm_python.errors import HelmRenderError
from hypothesis import HealthCheck, given, settings

from tests.helm.chart import (
    ACCEPTED,
    CHART,
    EXAMPLES,
    KUBERNETES,
    NAMESPACE,
    SMALL,
    Manifest,
    Values,
    example,
    files,
    kinds,
    merged,
    named,
    objects,
    pods,
    refused,
)
from tests.helm.generated import parts

WORKER_JOB: dict[str, Any] = {
    "completionMode": "Indexed",
    "completions": 2,
    "parallelism": 2,
    "backoffLimitPerIndex": 3,
    "maxFailedIndexes": 2,
    "podReplacementPolicy": "Failed",
    "podFailurePolicy": {
        "rules": [{"action": "FailIndex", "onExitCodes": {"containerName": "worker", "operator": "In", "values": [65]}}]
    },
}


def all_refused(manifests: list[Manifest], *versions: str) -> list[str]:
    return [f"{version}: {why}" for version in versions for one in manifests if (why := refused(one, version))]


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_is_taken_by_every_version_of_kubernetes(name: str) -> None:
    assert all_refused(objects(example(name)), *KUBERNETES) == []


def test_the_least_that_can_be_installed() -> None:
    assert all_refused(objects(SMALL), *KUBERNETES) == []


def test_the_check_does_refuse() -> None:
    deployment = copy.deepcopy(named(objects(SMALL), "Deployment", "casper"))
    deployment["spec"]["template"]["spec"]["containers"][0]["ressources"] = {}
    assert "ressources" in refused(deployment, "1.34")
    deployment = copy.deepcopy(named(objects(SMALL), "Deployment", "casper"))
    deployment["spec"]["replicas"] = "two"
    assert "two" in refused(deployment, "1.36")


@pytest.mark.parametrize("name", EXAMPLES)
def test_helm_finds_nothing_to_say_against_it(name: str) -> None:
    report = helm_python.lint(CHART, example(name), strict=True)
    assert report["errors"] == []
    assert [one["error"] for one in report["messages"] if one["severity"] > 1] == []


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(parts())
def test_values_of_the_schema_render_or_are_refused_with_a_sentence(values: dict[str, Any]) -> None:
    try:
        manifests = objects(merged(SMALL, values))
    except HelmRenderError as error:
        told = str(error)
        assert "these values do not go together:" in told, told
        sentences = told.partition("together:\n")[2].strip().split("\n")
        assert all(re.fullmatch(r"\s*- \S.*\.", sentence) for sentence in sentences), told
        return
    assert all_refused(manifests, "1.34", "1.36") == []


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(parts())
def test_generated_values_over_a_whole_example(values: dict[str, Any]) -> None:
    """With everything on, more of the templates are reached."""
    try:
        manifests = objects(merged(example("production"), ACCEPTED, values))
    except HelmRenderError as error:
        assert "these values do not go together:" in str(error), error
        return
    changed = [one for one in manifests if one["kind"] not in ("Service", "PodDisruptionBudget")]
    assert all_refused(changed, "1.36") == []


def with_workers(values: Values) -> dict[str, Any]:
    return merged(values, {"workers": {"enabled": True}})


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("version", KUBERNETES)
def test_the_worker_pod_fits_into_the_job_that_is_made_around_it(name: str, version: str) -> None:
    template = dict(pods(objects(with_workers(example(name)))))["Job/worker"]
    assert set(template) == {"metadata", "spec"}
    assert [one["name"] for one in template["spec"]["containers"]] == ["worker"]
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j"},
        "spec": {**WORKER_JOB, "template": template},
    }
    assert refused(job, version) == ""
    # A pod failure policy needs it.
    assert template["spec"]["restartPolicy"] == "Never"


def test_a_certificate_is_asked_for_as_cert_manager_wants_it() -> None:
    certificate, models = kinds(objects(example("production")), "Certificate")
    assert models["spec"]["dnsNames"] == ["demo-omnimatte-models"]
    assert models["spec"]["usages"] == ["server auth", "client auth"]
    spec = certificate["spec"]
    assert certificate["apiVersion"] == "cert-manager.io/v1"
    assert set(spec) == {
        "secretName", "duration", "renewBefore", "privateKey", "usages", "dnsNames", "issuerRef"
    }  # fmt: skip
    assert spec["issuerRef"] == {"name": "letsencrypt", "kind": "ClusterIssuer", "group": "cert-manager.io"}
    assert {"omnimatte.example.com", "demo-omnimatte.video.svc"} <= set(spec["dnsNames"])
    assert len(spec["dnsNames"]) == len(set(spec["dnsNames"]))


def test_names_stay_within_what_kubernetes_takes() -> None:
    long = {
        "fullnameOverride": "a" * 28,
        "models": {"n" * 16: {"stages": ["casper"], "gpu": {"count": 1}}, "casper": {"enabled": False}},
        "engines": {"gpus": {"g" * 16: {}}},
    }
    everything = merged(example("production"), long)
    names = [one["metadata"]["name"] for one in objects(everything)]
    assert max(map(len, names)) <= 63
    # A pod of the StatefulSet adds a number, and a Job's pods five letters and a dash.
    assert all(re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name) for name in names)


def test_two_releases_in_a_namespace_share_no_name() -> None:
    chart = helm_python.Chart.load(CHART)
    both = [
        {
            (one["kind"], one["metadata"]["name"])
            for path, text in chart.render(dict(SMALL), name=name, namespace=NAMESPACE).items()
            for one in ([] if path.endswith(".txt") else yaml.safe_load_all(text))
            if one
        }
        for name in ("one", "two")
    ]
    assert not both[0] & both[1]


def test_what_outlives_the_release_says_so() -> None:
    claims = kinds(objects(example("one-gpu")), "PersistentVolumeClaim")
    assert len(claims) == 2
    assert all(one["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for one in claims)


def test_another_wish_is_another_job() -> None:
    def jobs(*names: str) -> set[str]:
        values = merged(SMALL, {"weights": {"enabled": True, "acceptLicence": True, "names": list(names)}})
        return {one["metadata"]["name"] for one in kinds(objects(values), "Job")}

    assert jobs("sam2.1-tiny") == jobs("sam2.1-tiny")
    assert not jobs("sam2.1-tiny") & jobs("sam2.1-tiny", "edgetam")


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_notes_name_commands_that_fit(name: str) -> None:
    notes = files(example(name))["NOTES.txt"]
    assert "helm test demo -n video" in notes
    assert ("port-forward" in notes) == (name != "production")
    assert ("no backup" in notes) == (name == "one-gpu")
    assert "<nil>" not in notes and "%!" not in notes


@pytest.mark.parametrize("name", EXAMPLES)
def test_nothing_is_left_over_from_a_template(name: str) -> None:
    for path, text in files(example(name)).items():
        if path.startswith("monitoring/"):
            continue  # Prometheus and Grafana have templates of their own.
        assert not re.search(r"<nil>|%!|map\[|\{\{|<no value>", text), path


def test_a_new_chart_with_the_same_image_starts_no_pod_anew() -> None:
    for whose, pod in pods(objects(example("production"))):
        assert "helm.sh/chart" not in pod["metadata"]["labels"] or whose.startswith("Pod/"), whose
