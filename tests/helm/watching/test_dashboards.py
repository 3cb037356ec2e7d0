"""The dashboards: as their module makes them, as Grafana wants them, and with queries that Prometheus understands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from helm import dashboards
from helm.grafana import SCHEMA_VERSION
from tests.helm.watching import promql
from tests.helm.watching.prometheus import promtool

VARIABLES = {
    "namespace": "studio",
    "tenant": "(a|b)",
    "class": ".*",
    "stage": ".*",
    "processor": "gpu",
    "price": "2.50",
    "__rate_interval": "5m",
    "__range": "6h",
}


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def test_the_files_are_what_the_module_makes() -> None:
    assert dashboards.main(["--check"]) == 0
    assert set(promql.dashboards()) == {"operations", "story", "cost"}


def test_a_file_that_was_changed_by_hand_is_noticed_and_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dashboards, "FOLDER", tmp_path)
    assert dashboards.main(["--check"]) == 1 and "python -m helm.dashboards" in capsys.readouterr().err
    assert dashboards.main([]) == 0 == dashboards.main(["--check"])
    (tmp_path / "cost.json").write_text("{}")
    assert dashboards.main(["--check"]) == 1
    assert capsys.readouterr().err == "not up to date: cost.json; run python -m helm.dashboards.\n"


def test_promtool_understands_every_query(tmp_path: Path) -> None:
    asked = promql.asked(VARIABLES)
    rules = [{"record": f"query:{number}", "expr": one.expr} for number, one in enumerate(asked)]
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    promtool("check", "rules", str(tmp_path / "queries.yaml"))
    assert len(asked) > 70


@pytest.mark.parametrize("name", ["operations", "story", "cost"])
def test_a_dashboard_is_one_that_grafana_11_takes(name: str) -> None:
    dashboard = promql.dashboards()[name]
    assert dashboard["schemaVersion"] == SCHEMA_VERSION and dashboard["uid"] == f"omnimatte-{name}"
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    assert len(json.dumps(dashboard)) < 500_000, "a ConfigMap holds a million bytes"
    for panel in panels(dashboard):
        if panel["type"] == "text":
            continue
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["description"].strip() and "?" in panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])


@pytest.mark.parametrize("name", ["operations", "story", "cost"])
def test_no_two_panels_lie_on_each_other(name: str) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in promql.dashboards()[name]["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies on {taken[x, y]}"
                taken[x, y] = panel["title"]


@pytest.mark.parametrize("name", ["operations", "story", "cost"])
def test_every_variable_is_there_and_used(name: str) -> None:
    dashboard = promql.dashboards()[name]
    has = {variable["name"] for variable in dashboard["templating"]["list"]}
    written = json.dumps([dashboard["panels"], dashboard["links"]])
    uses = {word for word in re.findall(r"\$\{?(\w+)", written) if not word.startswith("__") and not word.isdigit()}
    assert uses == has


def test_orchestrator_triton_and_gpus_are_on_one_page() -> None:
    exprs = " ".join(one.expr for one in promql.asked(VARIABLES) if one.dashboard == "operations")
    assert all(name in exprs for name in ("omnimatte_queue_jobs", "nv_inference_", "DCGM_FI_DEV_GPU_UTIL"))


def test_one_job_leads_to_its_logs_and_its_trace() -> None:
    links = {link["title"]: link["url"] for link in promql.dashboards()["story"]["links"] if link["type"] == "link"}
    for title, source in (("Logs of the job", "loki"), ("Trace of the job", "tempo")):
        # As Grafana does it: the variables first, then the address.
        url = links[title].replace("${job}", "0194abc").replace("${logs}", "loki").replace("${traces}", "tempo")
        [pane] = json.loads(parse_qs(urlsplit(url).query)["panes"][0]).values()
        assert pane["datasource"] == source == pane["queries"][0]["datasource"]["uid"]
        assert "0194abc" in json.dumps(pane["queries"])


def test_every_panel_that_the_documentation_names_is_there() -> None:
    text = (promql.ROOT / "docs" / "dashboards.md").read_text()
    dashboards = promql.dashboards().values()
    there = {panel["title"] for dashboard in dashboards for panel in dashboard["panels"]}
    there |= {link["title"] for dashboard in dashboards for link in dashboard["links"]}
    there |= {variable["label"] for dashboard in dashboards for variable in dashboard["templating"]["list"]}
    assert set(re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", text)) <= there
