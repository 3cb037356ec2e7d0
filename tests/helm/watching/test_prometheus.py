"""A real Prometheus watches a real orchestrator and a real Triton: every expression works, and finds what it looks for.

What only a cluster with GPUs has is spoken for by exporter.py; names.py lists it.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from orchestrator.client import Client
from tests.helm.watching import promql, stand
from tests.helm.watching.exporter import MODEL_POD, NAMESPACE, ORCHESTRATOR, exporting
from tests.helm.watching.names import FOREIGN, QUIET
from tests.helm.watching.prometheus import Prometheus, needed, prometheus
from tests.proofs.stand import ended, wait_for

VARIABLES = {
    "namespace": NAMESPACE,
    "tenant": ".*",
    "class": ".*",
    "stage": ".*",
    "processor": "gpu",
    "price": "2.50",
    "__rate_interval": "1m",
    "__range": "1m",
}


SUFFIXES = {"histogram": ("_bucket", "_sum", "_count")}


@dataclass
class Watched:
    """An orchestrator in the middle of its work, a Triton, and the Prometheus that watches them."""

    prometheus: Prometheus
    orchestrator: stand.Orchestrator
    told: dict[str, set[str]]
    """Names of the series that each of them tells, and of those that it could."""


def names(url: str) -> set[str]:
    """Of the series that it tells, and of those that it would if there were something to count."""
    with urllib.request.urlopen(url) as answer:
        kinds = re.findall(r"^# TYPE (\w+) (\w+)$", answer.read().decode(), re.MULTILINE)
    return {f"{name}{end}" for name, kind in kinds for end in SUFFIXES.get(kind, ("",))}


def job(client: Client, number: int, **more: object) -> str:
    """A job like no other; its name."""
    video = client.upload([f"video {number}".encode()], filename="clip.mp4")
    mask = client.upload([f"mask {number}".encode()])
    wanted = {"source": video, "objects": [{"label": "vase", "mask": mask}], **more}
    return str(client.create_job(wanted).name)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    needed("prometheus")
    folder = tmp_path_factory.mktemp("watched")
    for name in ("orchestrator", "triton", "prometheus"):
        (folder / name).mkdir()
    with (
        stand.triton(folder / "triton") as triton,
        stand.orchestrating(folder / "orchestrator") as orchestrator,
        exporting() as others,
        Client(orchestrator.server.address) as client,
    ):
        ours = {"namespace": NAMESPACE, "pod": f"{ORCHESTRATOR}-0"}
        targets = {
            urlsplit(orchestrator.server.metrics_url).netloc: ours,
            urlsplit(triton.metrics_url).netloc: {"namespace": NAMESPACE, "pod": MODEL_POD},
            others: {},
        }
        rules = sorted(promql.RULES.glob("*.yaml"))
        with prometheus(folder / "prometheus", rules=rules, targets=targets) as server:
            for number in range(4):
                ended(client, job(client, number))
                # Something is found in the store, for another job on the same clip.
                ended(client, job(client, number, options={"steps": 2}))
                asyncio.run(stand.ask(triton, 2, first=number * 2))
                time.sleep(1)
            ended(client, job(client, 10, options={"seed": stand.FAILS}))
            job(client, 11, options={"seed": stand.WAITS})
            job(client, 12, scheduling={"class": "batch"})
            wait_for(lambda: server.values("sum(omnimatte_queue_jobs)") == [1], what="a waiting job in the figures")
            wait_for(
                lambda: bool(server.values("omnimatte:stage_gpu_utilisation:min")), what="the last of the recordings"
            )
            time.sleep(2)
            told = {"orchestrator": names(orchestrator.server.metrics_url), "triton": names(triton.metrics_url)}
            yield Watched(server, orchestrator, told)


def test_every_name_in_rules_and_dashboards_is_told_by_somebody(watched: Watched) -> None:
    exprs = [rule["expr"] for rule in promql.rules()] + [one.expr for one in promql.asked(VARIABLES)]
    used = {name for expr in exprs for name in promql.metrics(expr)}
    told = watched.told["orchestrator"] | watched.told["triton"]
    assert used - told - promql.recorded() - FOREIGN == set()
    assert promql.recorded() | FOREIGN <= used | promql.recorded(), "listed, and used by nobody"


def test_every_recording_is_made_and_every_rule_is_well(watched: Watched) -> None:
    assert [rule["lastError"] for rule in watched.prometheus.rules() if rule["health"] != "ok"] == []
    empty = {name for name in promql.recorded() if not watched.prometheus.values(name)}
    assert empty == QUIET


def test_every_alert_can_be_asked_and_a_service_at_work_raises_none(watched: Watched) -> None:
    for rule in promql.alerts():
        watched.prometheus.values(rule["expr"])
    firing = watched.prometheus.get("query", query='ALERTS{alertstate="firing"}')["result"]
    assert firing == []


def test_every_query_of_every_dashboard_returns_figures(watched: Watched) -> None:
    empty = []
    for one in promql.asked(VARIABLES):
        values = watched.prometheus.values(one.expr)
        if not any(math.isfinite(value) for value in values):
            empty.append(f"{one} -> {values}")
    assert not empty, "\n".join(empty)


def test_the_figures_are_those_of_the_jobs(watched: Watched) -> None:
    asked = {(one.dashboard, one.panel): one.expr for one in promql.asked(VARIABLES)}
    values = watched.prometheus.values
    assert values(asked["operations", "Waiting jobs"]) == values(asked["operations", "Running jobs"]) == [1]
    assert values(asked["operations", "Orchestrators"]) == [1]
    assert values(asked["operations", "GPU utilisation"]) == [0.91]
    assert values("omnimatte:pod_shared_memory_bytes:max") == [1e8]
    assert values("omnimatte:replicas_wanted:max") == [1]
    [spent] = values(asked["cost", "Used"])
    [price] = values(asked["cost", "Cost"])
    assert 0 < price == pytest.approx(spent / 3600 * 2.5, rel=0.2)


def test_an_orchestrator_that_is_gone_is_noticed(watched: Watched, tmp_path: Path) -> None:
    assert watched.prometheus.alert("OmnimatteDown") == "inactive"
    watched.orchestrator.go()
    watched.orchestrator.stop()
    wait_for(lambda: watched.prometheus.alert("OmnimatteDown") == "pending", timeout=30, what="the alert")
