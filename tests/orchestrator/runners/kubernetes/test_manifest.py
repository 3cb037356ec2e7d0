"""A run as an Indexed Job: valid for the clusters that there are, and named by what it is about."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runners.kubernetes.manifest import SHARDS, labels_of, manifest, name_of, read_template
from orchestrator.runners.kubernetes.settings import Shards
from services.errors import BadOption
from services.shards import Shard, Step
from services.stage import Request

TEMPLATE = {
    "metadata": {"labels": {"team": "films"}},
    "spec": {"containers": [{"name": "worker", "image": "omnimatte:1", "env": [{"name": "A", "value": "b"}]}]},
}
SETTINGS = Shards(namespace="films", template=Path("pod.yaml"))


def shard(label: str, **more: Any) -> Shard:
    return Shard(
        (Step(f"omnimatte/{label}", Request("omnimatte", {"label": label, **more}, {}, f"omnimatte/{label}")),)
    )


def made(settings: Shards = SETTINGS, tenant: str = "acme") -> dict[str, Any]:
    context = {"job": "01a2", "tenant": tenant}
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "omnimatte", "uid": "u"}
    labels = labels_of(SHARDS, "run12345", context)
    return manifest([shard("vase"), shard("cup")], settings=settings, template=TEMPLATE, labels=labels, owner=owner)


@pytest.mark.parametrize("version", ["1.31", "1.34", "1.36"])
@pytest.mark.parametrize("settings", [SETTINGS, replace(SETTINGS, queue="films", priority_class="batch", retries=0)])
def test_it_is_valid_for_clusters_old_and_new(version: str, settings: Shards) -> None:
    kubernetes_validate.validate(made(settings), version, strict=True)


def test_it_says_all_that_the_design_wants() -> None:
    spec = made()["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 2, 2)
    assert (spec["backoffLimitPerIndex"], spec["maxFailedIndexes"]) == (3, 2)
    assert spec["podReplacementPolicy"] == "Failed"
    assert spec["activeDeadlineSeconds"] == 21600 and spec["ttlSecondsAfterFinished"] == 600
    first, second = spec["podFailurePolicy"]["rules"]
    assert first["action"] == "Ignore" and first["onPodConditions"][0]["type"] == "DisruptionTarget"
    assert second == {
        "action": "FailIndex",
        "onExitCodes": {"containerName": "worker", "operator": "In", "values": [65]},
    }
    pod = spec["template"]
    assert pod["spec"]["restartPolicy"] == "Never"
    assert pod["spec"]["containers"][0]["env"] == [
        {"name": "A", "value": "b"},
        {"name": "OMNIMATTE_RUN", "value": "run12345"},
    ]
    assert pod["metadata"]["labels"]["team"] == "films" and not spec["suspend"]


def test_a_queue_of_kueue_admits_it() -> None:
    job = made(replace(SETTINGS, queue="films", priority_class="spot"))
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "films" and job["spec"]["suspend"]
    assert job["spec"]["template"]["spec"]["priorityClassName"] == "spot"


def test_the_template_itself_stays_as_it_is() -> None:
    before = yaml.safe_dump(TEMPLATE)
    made()
    assert yaml.safe_dump(TEMPLATE) == before


@given(tenant=st.text(max_size=80))
def test_any_tenant_gives_labels_that_are_labels(tenant: str) -> None:
    for value in labels_of(SHARDS, "run12345", {"job": "01a2", "tenant": tenant}).values():
        assert len(value) <= 63 and value.replace("-", "").isalnum()


def test_the_name_is_made_of_what_is_asked_for_and_of_nothing_else() -> None:
    one = name_of([shard("vase"), shard("cup")])
    assert one == name_of([shard("vase"), shard("cup")])
    assert one != name_of([shard("cup"), shard("vase")])
    assert one != name_of([shard("vase"), shard("cup", seed=1)])
    asked = shard("vase").steps[0].request
    other = replace(asked, subject="another name", context={"tenant": "other", "traceparent": "00-1"})
    assert name_of([Shard((Step("x", other),))]) == name_of([shard("vase")])
    assert len(one) <= 63 - len("-0-abcde")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("spec: {containers: [{name: sidecar}]}", "has no container called 'worker'"),
        ("[]", "has no container called 'worker'"),
        ("spec: [", "cannot be read"),
    ],
)
def test_a_template_that_is_none_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "pod.yaml"
    path.write_text(text)
    with pytest.raises(BadOption, match=says):
        read_template(path)
