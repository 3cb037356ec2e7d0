"""What the chart makes of the rules and dashboards, with its own templates and the least chart around them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.watching import promql
from tests.helm.watching.prometheus import promtool

helm_python = pytest.importorskip("helm_python", reason="helm-python-sdk is not installed; it renders the chart")

HELPERS = """\
{{- define "omnimatte.fullname" -}}{{ .Release.Name }}-omnimatte{{- end -}}
{{- define "omnimatte.labels" -}}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}
"""


def default_values() -> dict[str, Any]:
    """The chart's own."""
    found: dict[str, Any] = yaml.safe_load((promql.CHART / "values.yaml").read_text())["monitoring"]
    return found


class Chart:
    def __init__(self, folder: Path) -> None:
        self._folder = folder / "omnimatte"
        shutil.copytree(promql.CHART / "files", self._folder / "files")
        shutil.copytree(promql.CHART / "templates" / "monitoring", self._folder / "templates" / "monitoring")
        (self._folder / "Chart.yaml").write_text("apiVersion: v2\nname: omnimatte\nversion: 0.1.0\n")
        (self._folder / "templates" / "_helpers.tpl").write_text(HELPERS)

    def __call__(self, **values: Any) -> list[dict[str, Any]]:
        """The objects, where these values of `monitoring` differ from the default: as in helm, maps are merged."""
        monitoring = default_values()
        for name, value in values.items():
            monitoring[name] = {**monitoring[name], **value} if isinstance(value, dict) else value
        with helm_python.Chart.load(self._folder) as chart:
            made = chart.render(values={"monitoring": monitoring}, name="demo", namespace="studio")
        return [found for text in made.values() for found in yaml.safe_load_all(text) if found]


@pytest.fixture
def chart(tmp_path: Path) -> Chart:
    return Chart(tmp_path)


def kinds(objects: list[dict[str, Any]]) -> list[str]:
    return sorted(found["kind"] for found in objects)


def test_nothing_is_made_by_default(chart: Chart) -> None:
    assert chart() == []


def test_with_the_operator_there_are_monitors_rules_and_dashboards(chart: Chart) -> None:
    made = chart(enabled=True, labels={"release": "prometheus"})
    assert kinds(made) == ["ConfigMap"] * 3 + ["PodMonitor"] * 2 + ["PrometheusRule"] * 2
    assert len({(found["kind"], found["metadata"]["name"]) for found in made}) == 7
    assert all(found["metadata"]["labels"]["release"] == "prometheus" for found in made)
    assert all(found["metadata"]["namespace"] == "studio" for found in made)
    for found in made:
        if found["kind"] == "PodMonitor":
            selected = found["spec"]["selector"]["matchLabels"]
            assert selected["app.kubernetes.io/instance"] == "demo"
            assert found["spec"]["podMetricsEndpoints"][0]["port"] == "metrics"


def test_without_the_operator_there_are_dashboards_alone(chart: Chart) -> None:
    made = chart(enabled=True, scrape="annotations", rules={"enabled": False})
    assert kinds(made) == ["ConfigMap"] * 3
    assert chart(enabled=True, scrape="none", rules={"enabled": False}, dashboards={"enabled": False}) == []


def test_the_rules_are_those_of_the_files_with_links_to_the_runbooks(chart: Chart, tmp_path: Path) -> None:
    made = chart(enabled=True, runbookUrl="https://docs.test/runbooks/")
    groups = [group for found in made if found["kind"] == "PrometheusRule" for group in found["spec"]["groups"]]
    rules = [rule for group in groups for rule in group["rules"]]
    page = "https://docs.test/runbooks/omnimatte-down.md"
    assert next(rule for rule in rules if rule.get("alert") == "OmnimatteDown")["annotations"]["runbook_url"] == page
    for rule in rules:
        rule.get("annotations", {}).pop("runbook_url", None)
    assert rules == promql.rules()
    for found in made:
        if found["kind"] == "PrometheusRule":
            path = tmp_path / "rules.yaml"
            path.write_text(yaml.safe_dump(found["spec"]))
            promtool("check", "rules", str(path))


def test_alerts_can_be_switched_off_and_promises_be_given(chart: Chart) -> None:
    room = ["OmnimatteStoreNearlyFull", "OmnimatteVolumeNearlyFull", "OmnimatteCollectionsFailing"]
    promises = {"interactive": 60, "batch": 604800}
    made = chart(enabled=True, rules={"disabled": room, "queuePromiseSeconds": promises})
    specs = {found["metadata"]["name"]: found["spec"] for found in made if found["kind"] == "PrometheusRule"}
    left = [rule["alert"] for group in specs["demo-omnimatte-alerts"]["groups"] for rule in group["rules"]]
    assert left == [rule["alert"] for rule in promql.alerts() if rule["alert"] not in room]
    assert all(group["rules"] for group in specs["demo-omnimatte-alerts"]["groups"])
    recorded = [rule for group in specs["demo-omnimatte-recording"]["groups"] for rule in group["rules"]]
    assert {rule["labels"]["class"]: rule["expr"] for rule in recorded if "promise" in rule["record"]} == {
        "interactive": "vector(60)",
        "batch": "vector(604800)",
    }


def test_an_alert_that_there_is_not_cannot_be_switched_off(chart: Chart) -> None:
    with pytest.raises(helm_python.HelmError, match=r'there is no alert "OmnimatteDwon"; there are OmnimatteDown, '):
        chart(enabled=True, rules={"disabled": ["OmnimatteDwon"]})


def test_the_dashboards_arrive_as_they_are(chart: Chart) -> None:
    made = [found for found in chart(enabled=True) if found["kind"] == "ConfigMap"]
    data = {name: text.strip() for found in made for name, text in found["data"].items()}
    assert data == {f"omnimatte-{path.name}": path.read_text().strip() for path in promql.DASHBOARDS.glob("*.json")}
    assert all(found["metadata"]["labels"]["grafana_dashboard"] == "1" for found in made)


def test_gpus_are_scraped_with_the_labels_of_who_uses_them(chart: Chart) -> None:
    made = chart(enabled=True, gpu={"serviceMonitor": True, "namespace": "nvidia"})
    [monitor] = [found for found in made if found["kind"] == "ServiceMonitor"]
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": ["nvidia"]}
    assert monitor["spec"]["endpoints"][0]["honorLabels"] is True
