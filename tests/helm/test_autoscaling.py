"""Scaling: on gauges of what waits, never sooner down than a load takes, and by one autoscaler only."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.helm.chart import NAME, SMALL, Manifest, example, kinds, merged, named, objects

HPA = merged(SMALL, {"modelDefaults": {"autoscaling": {"hpa": {"enabled": True}}}})
FLEET = {"omnimatte_stage_waiting", "omnimatte_stages_in_flight", "omnimatte_stage_oldest_wait_seconds"}


def queries(scaled: Manifest) -> dict[str, str]:
    return {one["name"]: one["metadata"]["query"] for one in scaled["spec"]["triggers"]}


def test_keda_asks_for_gauges_of_its_own_stage() -> None:
    scaled = named(objects(example("production")), "ScaledObject", "casper")
    match = '{stage=~"casper",namespace="video"}'
    none = '0 * sum(omnimatte_build_info{namespace="video"})'
    waiting, running = f"sum(omnimatte_stage_waiting{match})", f"sum(omnimatte_stages_in_flight{match})"
    assert queries(scaled) == {
        "pending": f"({waiting} or {none}) + ({running} or {none})",
        "oldest": f"max(omnimatte_stage_oldest_wait_seconds{match}) or {none}",
    }
    named_metrics = set(re.findall(r"omnimatte_\w+", " ".join(queries(scaled).values())))
    assert named_metrics == FLEET | {"omnimatte_build_info"}
    assert not any(name.endswith(("_total", "_count", "_sum", "_bucket")) for name in named_metrics)


def test_a_group_of_several_stages_counts_them_all() -> None:
    values = {
        "prometheus": {"url": "http://p", "namespaceLabel": ""},
        "models": {
            "ssr": {"enabled": False},
            "depth": {"stages": ["depth", "ssr"], "autoscaling": {"keda": {"enabled": True}}},
        },
    }
    scaled = named(objects(merged(SMALL, values)), "ScaledObject", "depth")
    assert 'omnimatte_stage_waiting{stage=~"depth|ssr"}' in queries(scaled)["pending"]
    assert "sum(omnimatte_build_info{})" in queries(scaled)["pending"]


def test_scaled_objects_have_the_fields_that_keda_knows() -> None:
    scaled = kinds(objects(example("production")), "ScaledObject")
    assert len(scaled) == 9
    for one in scaled:
        spec = one["spec"]
        assert one["apiVersion"] == "keda.sh/v1alpha1"
        assert set(spec) == {
            "scaleTargetRef", "pollingInterval", "cooldownPeriod", "minReplicaCount", "maxReplicaCount", "advanced",
            "triggers",
        }  # fmt: skip
        assert 0 <= spec["minReplicaCount"] <= spec["maxReplicaCount"]
        for trigger in spec["triggers"]:
            assert trigger["type"] == "prometheus" and trigger["metricType"] in ("AverageValue", "Value")
            assert set(trigger["metadata"]) <= {
                "serverAddress", "query", "threshold", "activationThreshold", "ignoreNullValues", "authModes"
            }  # fmt: skip
            # KEDA takes texts only.
            assert all(isinstance(value, str) for value in trigger["metadata"].values())
            assert trigger["metadata"]["ignoreNullValues"] == "false", "no answer would mean no work"


def test_a_prometheus_that_wants_credentials_gets_them_by_reference() -> None:
    values = merged(example("production"), {"prometheus": {"authentication": "prometheus-token"}})
    scaled = named(objects(values), "ScaledObject", "casper")
    assert all(one["authenticationRef"] == {"name": "prometheus-token"} for one in scaled["spec"]["triggers"])


def test_a_plain_autoscaler_looks_at_the_same_two_figures() -> None:
    two = [("omnimatte_stage_pending", "AverageValue"), ("omnimatte_stage_oldest_wait_seconds", "Value")]
    for hpa in kinds(objects(HPA), "HorizontalPodAutoscaler"):
        metrics = [(one["external"]["metric"], one["external"]["target"]["type"]) for one in hpa["spec"]["metrics"]]
        stages = {metric["selector"]["matchLabels"]["stage"] for metric, _ in metrics}
        assert [(metric["name"], kind) for metric, kind in metrics] == two * len(stages)


@pytest.mark.parametrize("values", [HPA, example("production")], ids=["hpa", "keda"])
def test_the_autoscaler_decides_alone_and_patiently(values: dict[str, Any]) -> None:
    manifests = objects(values)
    scalers = kinds(manifests, "HorizontalPodAutoscaler", "ScaledObject")
    assert len(scalers) == 9
    for scaler in scalers:
        target = scaler["spec"]["scaleTargetRef"]
        deployment = named(manifests, "Deployment", target["name"].removeprefix(f"{NAME}-"))
        assert "replicas" not in deployment["spec"], "an upgrade would set the number back"
        spec = scaler["spec"]
        if "advanced" in spec:
            spec = spec["advanced"]["horizontalPodAutoscalerConfig"]
        down, up = spec["behavior"]["scaleDown"], spec["behavior"]["scaleUp"]
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        start = container["startupProbe"]
        # The probe bears two loads and a minute.
        load = (start["failureThreshold"] - 12) * start["periodSeconds"] / 2
        assert down["stabilizationWindowSeconds"] >= load > 0
        assert up["stabilizationWindowSeconds"] == 0
        assert all(policy["type"] == "Pods" for policy in (*down["policies"], *up["policies"]))


def test_the_rarely_used_sleep_and_the_waited_for_do_not() -> None:
    manifests = objects(example("production"))
    least = {
        one["metadata"]["name"].removeprefix(f"{NAME}-"): one["spec"]["minReplicaCount"]
        for one in kinds(manifests, "ScaledObject")
    }
    assert least["casper"] == 0 and least["preview"] == 1
    # helm test does not wait for what may be asleep.
    (test,) = kinds(manifests, "Pod")
    urls = " ".join(test["spec"]["containers"][0]["command"])
    assert "models/preview/ready" in urls and "models/casper/ready" not in urls


def test_without_an_autoscaler_the_number_is_what_the_values_say() -> None:
    manifests = objects(merged(SMALL, {"models": {"ssr": {"replicas": 3}}}))
    assert named(manifests, "Deployment", "ssr")["spec"]["replicas"] == 3
    assert named(manifests, "Deployment", "depth")["spec"]["replicas"] == 1
    assert kinds(manifests, "HorizontalPodAutoscaler", "ScaledObject") == []
