"""The rules: promtool takes them, each alert fires on its case and says what to do next."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.watching import promql
from tests.helm.watching.prometheus import promtool

HERE = Path(__file__).parent
CASES = sorted(HERE.glob("rules_*test.yaml"))


def kebab(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def cases() -> list[dict[str, Any]]:
    return [case for path in CASES for case in yaml.safe_load(path.read_text())["tests"]]


def fires_in(case: dict[str, Any]) -> list[str]:
    """Names of the alerts that the case expects."""
    samples = [sample for test in case["promql_expr_test"] for sample in test["exp_samples"]]
    return [match[1] for sample in samples for match in [re.search(r'alertname="(\w+)"', sample["labels"])] if match]


def test_promtool_finds_no_fault_with_the_rules() -> None:
    promtool("check", "rules", *map(str, sorted(promql.RULES.glob("*.yaml"))))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_at_no_other_time(path: Path) -> None:
    promtool("test", "rules", str(path))


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    assert {name for case in cases() for name in fires_in(case)} == {rule["alert"] for rule in promql.alerts()}


def test_a_service_that_is_well_is_one_of_the_cases_and_nearly_every_series_is_in_it() -> None:
    well = next(case for case in cases() if case["name"] == "a service that is well is silent")
    assert fires_in(well) == []
    given = {series["series"].split("{")[0] for series in well["input_series"]}
    asked = {name for rule in promql.rules() for name in promql.metrics(rule["expr"])} - promql.recorded()
    # Not there: what stands for another series that is, and what only takes away from it.
    assert asked - given == {"DCGM_FI_PROF_GR_ENGINE_ACTIVE", "kube_job_owner"}


def test_every_alert_says_how_bad_it_is_what_it_is_and_what_to_do_next() -> None:
    for rule in promql.alerts():
        said = rule["annotations"]
        assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]
        assert said["summary"].endswith(".") and "{{ $labels.namespace }}" in said["summary"], rule["alert"]
        assert said["description"].endswith((".", ")")) and len(said["description"]) > 60, rule["alert"]
        assert said["runbook"] == f"docs/runbooks/{kebab(rule['alert'])}.md"


def test_every_alert_has_its_page_and_every_page_its_alert() -> None:
    names = {rule["alert"] for rule in promql.alerts()}
    pages = {path.name for path in promql.RUNBOOKS.glob("*.md")} - {"README.md"}
    assert pages == {f"{kebab(name)}.md" for name in names}
    listed = re.findall(
        r"^\| \[(\w+)\]\(([\w-]+\.md)\) \| ([\w, ]+) \|$", (promql.RUNBOOKS / "README.md").read_text(), re.M
    )
    severities: dict[str, list[str]] = {}
    for rule in promql.alerts():
        severities.setdefault(rule["alert"], []).append(rule["labels"]["severity"])
    assert {name: (page, severity) for name, page, severity in listed} == {
        name: (f"{kebab(name)}.md", ", ".join(dict.fromkeys(found))) for name, found in severities.items()
    }


def test_every_page_says_the_same_five_things_and_its_links_lead_somewhere() -> None:
    for path in promql.RUNBOOKS.glob("omnimatte-*.md"):
        text = path.read_text()
        title = text.splitlines()[0].removeprefix("# ")
        assert kebab(title) == path.stem
        parts = re.findall(r"^\*\*(What it means|What users feel|Look|Do)\.\*\*|^\*\*(It is over when)\*\*", text, re.M)
        assert [one or other for one, other in parts] == [
            "What it means",
            "What users feel",
            "Look",
            "Do",
            "It is over when",
        ], path.name
        for link in re.findall(r"\]\(([^)#]+)", text):
            assert (path.parent / link).is_file(), f"{path.name}: {link}"


def test_fleet_gauges_are_never_added_up_over_replicas() -> None:
    fleet = (
        "omnimatte_(queue_jobs|queue_oldest_seconds|queue_length|jobs|stuck_jobs|job_silence_seconds|replicas|places"
        "|store_bytes|store_limit_bytes)"
    )
    everywhere = {"namespace": ".*", "tenant": ".*", "class": ".*", "stage": ".*", "processor": "gpu", "price": "1"}
    everywhere |= {"__rate_interval": "5m", "__range": "1h"}
    exprs = [rule["expr"] for rule in promql.rules()] + [one.expr for one in promql.asked(everywhere)]
    for expr in exprs:
        assert not re.search(rf"\bsum( by)? *(\([^()]*\))? *\(({fleet})[{{)]", expr), expr
