"""What Prometheus is told: by a whole server, by its parts, and by the table of docs/operations.md."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
import toys
from conftest import Background, make_spec
from prometheus_client import CollectorRegistry

from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.client import Client
from orchestrator.db import Database
from orchestrator.observe.expiry import Expiry
from orchestrator.observe.job_figures import JobFigures
from orchestrator.observe.metrics import Metrics
from orchestrator.observe.runner import ObservedRunner
from orchestrator.observe.survey import Running, Survey, Surveyed, Surveyor, running_jobs
from orchestrator.observe.tenants import OTHERS, TenantLabels
from orchestrator.observe.worker_figures import WorkerFigures
from orchestrator.references import References
from orchestrator.scheduling.policy import Policies
from orchestrator.scheduling.queue import Depth, Queue
from orchestrator.scheduling.replicas import Replicas
from orchestrator.schema import EVENTS, REPLICAS
from orchestrator.spec import from_dict
from orchestrator.timing import Line
from services.errors import NotFound
from services.observe.about import about
from services.stage import Request, Result
from tests.orchestrator.access.makers import Authority
from tests.orchestrator.observe.figures import Figures

ROOT = Path(__file__).resolve().parents[3]
FILE = {"digest": "0" * 64}
SPEC = {"source": FILE, "objects": [{"label": "vase", "mask": FILE}]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Background]:
    with Background(tmp_path_factory.mktemp("observed")) as running:
        yield running


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


def test_a_server_tells_of_its_queue_jobs_and_calls(server: Background) -> None:
    with Client(server.server.address) as client:
        done = client.create_job(make_spec(client, seed=1))
        list(client.watch(done.name))
        first = client.create_job(make_spec(client, seed=toys.WAITS_FOR_FILE))
        for event in client.watch(first.name):
            if event.progress.subject == "casper/background" and event.progress.state == pb.StageProgress.RUNNING:
                break
        batch = make_spec(client, seed=2)
        waiting = client.create_job({**batch, "scheduling": {"class": "batch"}})
        with pytest.raises(NotFound):
            client.get("jobs/" + "0" * 22)
        told = Figures(server)
        server.go()
        list(client.watch(first.name))
        list(client.watch(waiting.name))
    after = Figures(server)

    assert told("omnimatte_queue_jobs", tenant="local", **{"class": "batch"}) == 1
    assert 0 <= told("omnimatte_queue_oldest_seconds", tenant="local", **{"class": "batch"}) < 60
    assert told("omnimatte_jobs", state="running") == 1
    assert told("omnimatte_replicas") == told("omnimatte_places") == told("omnimatte_database_up") == 1
    assert told("omnimatte_stuck_jobs", reason="silent") == told("omnimatte_stuck_jobs", reason="unlisted") == 0
    assert told("omnimatte_api_calls_total", method="CreateJob", code="OK") == 3
    assert told("omnimatte_api_calls_total", method="GetJob", code="NOT_FOUND") == 1
    assert told("omnimatte_api_seconds_count", method="CreateJob") == 3
    assert told("omnimatte_stages_in_flight", stage="casper") == 1

    assert after("omnimatte_jobs_taken_total", **{"class": "interactive"}) == 2
    assert after("omnimatte_jobs_taken_total", **{"class": "batch"}) == 1
    assert after("omnimatte_job_wait_seconds_count") == 3
    assert after("omnimatte_job_seconds_count", state="succeeded") == 3
    assert after("omnimatte_job_processor_seconds_count", processor="cpu") == 3
    spent = after("omnimatte_processor_seconds_total", tenant="local", stage="casper", processor="cpu")
    assert spent > 0.005
    assert after("omnimatte_job_processor_seconds_sum") == pytest.approx(after("omnimatte_processor_seconds_total"))
    assert after("omnimatte_stage_runs_total", stage="ingest", state="cached") >= 1
    assert after("omnimatte_build_info") == 1


def test_a_watcher_that_leaves_is_a_cancelled_call(server: Background) -> None:
    with Client(server.server.address) as client:
        job = client.create_job(make_spec(client, seed=toys.WAITS))
        events = client.watch(job.name)
        next(events)
    until = time.monotonic() + 10
    while time.monotonic() < until:
        told = Figures(server)
        calls = {str(s.labels) for f in told.families for s in f.samples if s.name == "omnimatte_api_calls_total"}
        if any("WatchJob" in labels and "CANCELLED" in labels for labels in calls):
            break
        time.sleep(0.1)
    else:
        pytest.fail(str(calls))
    assert told("omnimatte_api_in_flight", method="WatchJob") == 0
    with Client(server.server.address) as client:
        client.cancel(job.name)
        list(client.watch(job.name))


def test_every_figure_is_in_the_table_of_the_documentation(server: Background, tmp_path: Path) -> None:
    section = (ROOT / "docs" / "operations.md").read_text().split("## Watching")[1].split("\n## ")[0]
    listed = set(re.findall(r"^\| `(omnimatte_[a-z_]+)", section, re.MULTILINE))
    # Those of an orchestrator with a certificate and worker Jobs, too.
    certificate = Authority(tmp_path, "told").certificate
    more = [*WorkerFigures().collect(), *Expiry({"api": certificate}).collect()]
    families = [*Figures(server).families, *more]
    told = {f"{family.name}_total" if family.type == "counter" else family.name for family in families}
    assert listed == {name for name in told if name.startswith("omnimatte_") and not name.endswith("_created")}


def test_a_job_nobody_hears_of_and_one_without_a_replica_are_stuck(database: Database) -> None:
    queue = Queue(database.engine, Policies())
    incarnation = Replicas(database.engine, silent_after=15).register("here", places=2)
    jobs = [database.create(from_dict(SPEC), tenant="local")[0].id for _ in range(3)]
    queue.claim("here", incarnation, places=2)
    with database.engine.begin() as connection:
        assert running_jobs(connection, stuck_after=60).silent == 0
        connection.execute(EVENTS.update().where(EVENTS.c.job == jobs[0]).values(time=time.time() - 100))
        found = running_jobs(connection, stuck_after=60)
        assert (found.silent, found.unlisted) == (1, 0) and 100 <= found.silence < 160
        connection.execute(REPLICAS.delete())
        assert running_jobs(connection, stuck_after=60).unlisted == 2


def test_while_the_database_is_away_the_other_figures_go_on(database: Database) -> None:
    def away() -> Survey:
        raise sa.exc.OperationalError("SELECT", None, Exception("gone"))

    metrics = Metrics()
    metrics.register(Surveyed(away, tenants=TenantLabels()))
    with metrics.calls.call("GetJob"):
        pass
    value = metrics.registry.get_sample_value
    assert value("omnimatte_database_up") == 0 and value("omnimatte_replicas") is None
    assert value("omnimatte_api_calls_total", {"method": "GetJob", "code": "OK"}) == 1


def test_tenants_beyond_the_hundredth_share_a_label() -> None:
    labels = TenantLabels(most=2)
    assert [labels.of(name) for name in ("a", "b", "c", "a", "")] == ["a", "b", OTHERS, "a", ""]

    depths = [Depth(f"t{i}", Line.BATCH, 2, 1000.0 + i) for i in range(150)]
    survey = Survey(jobs={}, depths=depths, running=Running(), replicas=1, places=1, store_bytes=0)
    registry = CollectorRegistry()
    registry.register(Surveyed(lambda: survey, tenants=TenantLabels()))
    [family] = [family for family in registry.collect() if family.name == "omnimatte_queue_jobs"]
    assert len(family.samples) == 101 and sum(sample.value for sample in family.samples) == 300
    others = {"tenant": OTHERS, "class": "batch"}
    assert registry.get_sample_value("omnimatte_queue_jobs", others) == 100
    age = registry.get_sample_value("omnimatte_queue_oldest_seconds", others)
    assert age == pytest.approx(time.time() - 1100.0, abs=5)


def test_a_survey_of_a_database(database: Database) -> None:
    queue = Queue(database.engine, Policies())
    for tenant in ("studio", "studio", "other"):
        database.create(from_dict(SPEC), tenant=tenant)
    survey = Surveyor(database=database, queue=queue, references=References(database.engine))()
    assert survey.jobs["queued"] == 3 and survey.replicas == survey.places == 0
    assert {(depth.tenant, depth.jobs) for depth in survey.depths} == {("studio", 2), ("other", 1)}


async def test_gpu_seconds_are_told_apart_and_what_was_found_costs_nothing() -> None:
    class Answers:
        async def run(self, request: Request, *, on_progress: object) -> Result:
            cached = request.stage == "ingest"
            return Result("a" * 64, {}, seconds=2.5, cached=cached, gpu=request.stage == "casper")

    registry = CollectorRegistry()
    figures = JobFigures(registry, TenantLabels())
    runner = ObservedRunner(Answers(), figures)
    with about(job="j1", tenant="studio"), figures.attempt("j1", line="batch", waited=None):
        for stage in ("ingest", "plate", "casper", "casper"):
            await runner.run(Request(stage), on_progress=lambda _: None)
    await runner.run(Request("preview"), on_progress=lambda _: None)

    def spent(stage: str, tenant: str, processor: str) -> float | None:
        labels = {"stage": stage, "tenant": tenant, "processor": processor}
        return registry.get_sample_value("omnimatte_processor_seconds_total", labels)

    assert spent("casper", "studio", "gpu") == 5.0 and spent("plate", "studio", "cpu") == 2.5
    assert spent("preview", "", "cpu") == 2.5 and spent("ingest", "studio", "cpu") is None
    per_job = {"class": "batch", "processor": "gpu"}
    assert registry.get_sample_value("omnimatte_job_processor_seconds_sum", per_job) == 5.0
    assert registry.get_sample_value("omnimatte_jobs_taken_total", {"class": "batch"}) == 1


def test_sweeps_and_jobs_handed_back_are_counted() -> None:
    registry = CollectorRegistry()
    figures = JobFigures(registry, TenantLabels())
    figures.swept(["gone"], ["j1", "j2"])
    figures.swept([], [])
    figures.handed_back()
    for name, value in (("sweeps", 2), ("sweep_replicas", 1), ("sweep_jobs", 2), ("jobs_handed_back", 1)):
        assert registry.get_sample_value(f"omnimatte_{name}_total") == value
