"""Shards and whole jobs as Kubernetes Jobs, with everything killed that can be: nothing is made twice, nothing is left.

    python -m tests.proofs.cluster [--jobs 1000] [--only NAME]

A real orchestrator (`omnimatte serve --config`), real stages behind a real Triton, real worker processes; the API
server speaks the real protocol and has a Job controller, and the node is this machine (tests/cluster/).
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from kubernetes.aio.client import ApiClient, Configuration

from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.client import Client, Retry
from orchestrator.observe.worker_figures import WorkerFigures
from orchestrator.runners.kubernetes.api import Cluster
from orchestrator.runners.kubernetes.runner import running
from orchestrator.runners.kubernetes.settings import Shards
from services.artifacts import Store
from services.errors import Unavailable
from services.registry import STAGES
from services.stage import Request
from tests.cluster.control_plane import NAMESPACE, TEMPLATE, ControlPlane, kubeconfig
from tests.proofs import real
from tests.proofs.stand import ROOT, ended, figure, folder, manifests, percentile, wait_for

_PATIENT = Retry(attempts=60, first=0.2, longest=1.0)


class Serving:
    """An orchestrator as a pod has it, that can be killed and started again."""

    def __init__(self, home: Path, triton: str, kube: str, **shards: Any) -> None:
        self._home, self._kube = home, kube
        template = home / "worker-pod.yaml"
        template.write_text(yaml.safe_dump(TEMPLATE))
        chosen = {"namespace": NAMESPACE, "template": str(template), "poll_seconds": 0.2, "retries": 1, **shards}
        settings = {
            "store": str(home / "store"),
            "port": 0,
            "metrics_port": 0,
            "running_stages": 64,
            "running_jobs": 4,
            "models": dict.fromkeys(STAGES, triton),
            "shards": {**chosen, "reconcile_seconds": 1.0},
        }
        (home / "serve.yaml").write_text(yaml.safe_dump(settings))
        self.start()

    def start(self) -> None:
        environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig(self._kube, self._home / "kubeconfig")),
            "OMNIMATTE_DATABASE_URL": f"sqlite:///{self._home / 'orchestrator.sqlite'}",
            "OMP_NUM_THREADS": "1",
        }
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator.cli", "serve", "--config", str(self._home / "serve.yaml")],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env=environment,
        )
        line = ""

        def ready() -> bool:
            nonlocal line
            assert self.process.poll() is None, f"the orchestrator does not start: {self.log()}"
            line = next((one for one in self.log().splitlines() if "ready: " in one), "")
            return bool(line)

        wait_for(ready, what="a ready orchestrator")
        words = line.split()
        self.address = words[words.index("on") + 1].rstrip(",")
        self.metrics_url = words[-1]

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def figure(self, name: str) -> float:
        """The sum of a metric's samples."""
        with urllib.request.urlopen(self.metrics_url, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(one.split()[-1]) for one in lines if one.startswith((f"{name}{{", f"{name} ")))


class Stand:
    """A cluster, an orchestrator and a client, and what is asked of all of them at a scenario's end."""

    def __init__(self, home: Path, plane: ControlPlane, serving: Serving) -> None:
        self.home, self.plane, self.serving = home, plane, serving

    def job(self, *, long: bool = False, **more: Any) -> str:
        with Client(self.serving.address, retry=_PATIENT) as client:
            return client.create_job({**real.upload_job(client, long=long), **more}).name

    def ended(self, name: str) -> pb.Job:
        with Client(self.serving.address, retry=_PATIENT) as client:
            return ended(client, name, timeout=240)

    def running(self) -> list[str]:
        return self.plane.node.running

    def restart(self) -> None:
        self.serving.kill()
        self.serving.start()

    def jobs(self) -> list[Any]:
        return self.plane.do(self.plane.hands.jobs)

    def completions(self) -> int:
        """Workers that have come to a good end."""
        return list(self.plane.node.codes.values()).count(0)

    def require_order(self, *, workers: int) -> None:
        """Each shard has come to a good end once, and no Job is left that is not over."""
        wait_for(lambda: not self.running(), what="the end of all workers")
        assert self.completions() == workers, self.plane.node.codes
        wait_for(lambda: not [job for job in self.jobs() if not _over(job)], what="the end of all Jobs")


def _over(job: Any) -> bool:
    return any(one["type"] in ("Complete", "Failed") for one in job["status"].get("conditions") or [])


@contextmanager
def stand(models: real.Models, home: Path, **shards: Any) -> Iterator[Stand]:
    plane = ControlPlane({"OMNIMATTE_STORE": str(home / "store")})
    with plane.running():
        serving = Serving(home, models.address, plane.server.url, **shards)
        try:
            yield Stand(home, plane, serving)
        finally:
            serving.kill()


# ---------------------------------------------------------------------- scenarios


def undisturbed(here: Stand) -> str:
    last = here.ended(here.job())
    assert last.state == pb.Job.SUCCEEDED, last.error
    here.require_order(workers=2)
    count = here.serving.figure("omnimatte_shard_overhead_seconds_count")
    overhead = here.serving.figure("omnimatte_shard_overhead_seconds_sum") / count
    calls = here.serving.figure("omnimatte_kubernetes_calls_total") / count
    return (
        f"2 shards, one Job: overhead {overhead:.1f} s a shard (allowed 10), of which most is the worker's own start; "
        f"{calls:.1f} API calls a shard, watches and lists included (allowed 10)"
    )


def killed_between_create_and_answer(here: Stand) -> str:
    created = []

    def refuse(verb: str, plural: str, body: Any) -> None:
        if (verb, plural) == ("create", "jobs") and not created:
            created.append(body["metadata"]["name"])
            here.plane.server.lose_answers = 1

    here.plane.server.refuse = refuse  # type: ignore[assignment]
    name = here.job()
    wait_for(lambda: bool(created), timeout=120, what="the Job")
    here.restart()
    last = here.ended(name)
    assert last.state == pb.Job.SUCCEEDED, last.error
    here.require_order(workers=2)
    assert [job["metadata"]["name"] for job in here.jobs()] == created
    return "the next one attached to the Job that was made: 1 Job, 2 workers"


def killed_while_watching(here: Stand) -> str:
    name = here.job()
    wait_for(lambda: len(here.running()) == 2, timeout=120, what="two workers")
    here.restart()
    last = here.ended(name)
    assert last.state == pb.Job.SUCCEEDED, last.error
    here.require_order(workers=2)
    return "the next one attached: 1 Job, 2 workers"


def stopped_in_order(here: Stand) -> str:
    name = here.job()
    wait_for(lambda: len(here.running()) == 2, timeout=120, what="two workers")
    here.serving.stop()
    time.sleep(0.5)
    assert len(here.running()) + here.completions() == 2, "the workers did not go on"
    here.serving.start()
    last = here.ended(name)
    assert last.state == pb.Job.SUCCEEDED, last.error
    here.require_order(workers=2)
    return "the workers went on without it; the next one attached"


def evicted(here: Stand) -> str:
    before = manifests(str(here.home / "store"))
    name = here.job()
    wait_for(lambda: len(here.running()) == 2, timeout=120, what="two workers")
    time.sleep(2.5)
    pods = here.running()
    if pods:
        here.plane.node.evict(pods[0])
    last = here.ended(name)
    assert last.state == pb.Job.SUCCEEDED, last.error
    here.require_order(workers=2)
    assert len(manifests(str(here.home / "store"))) > len(before)
    return f"{len(here.plane.node.started)} workers started, 2 came to a good end"


def failing_for_good(here: Stand) -> str:
    victim: list[str] = []

    async def murder() -> None:
        while True:
            for pod in here.plane.node.running:
                if "-1-" in pod[-8:]:
                    victim.append(pod)
                    here.plane.node.kill(pod)
            await asyncio.sleep(0.05)

    task = asyncio.run_coroutine_threadsafe(murder(), here.plane._loop)
    try:
        last = here.ended(here.job(allow_partial=True))
    finally:
        task.cancel()
    assert last.state == pb.Job.SUCCEEDED, last.error
    assert len(last.result.failures) == 1, last.result.failures
    here.require_order(workers=1)
    return f"killed {len(set(victim))} times, given up; the job succeeded without {last.result.failures[0].label}"


def cancelled(here: Stand) -> str:
    name = here.job(long=True)
    wait_for(lambda: len(here.running()) == 2, timeout=240, what="two workers")
    # Until they compute, and not only start.
    time.sleep(8)
    begun = time.monotonic()
    with Client(here.serving.address) as client:
        client.cancel(name)
    wait_for(lambda: not here.running(), what="the end of the workers")
    took = time.monotonic() - begun
    wait_for(lambda: not here.jobs(), what="no Jobs")
    return f"its workers had ended {took:.1f} s after it, no Job is left"


def batch(here: Stand) -> str:
    name = here.job(scheduling={"class": "batch"})
    wait_for(lambda: bool(here.running()), timeout=120, what="the worker")
    time.sleep(2)
    here.restart()
    last = here.ended(name)
    assert last.state == pb.Job.SUCCEEDED, last.error
    here.require_order(workers=1)
    kinds = {job["metadata"]["labels"]["omnimatte.dev/kind"] for job in here.jobs()}
    assert kinds == {"batch"}, kinds
    return "all stages in one worker; the orchestrator killed meanwhile; 1 Job, 1 worker"


SCENARIOS: dict[str, tuple[Callable[[Stand], str], dict[str, Any]]] = {
    "undisturbed": (undisturbed, {}),
    "orchestrator killed between 'create Job' and its answer": (killed_between_create_and_answer, {}),
    "orchestrator killed while it watches": (killed_while_watching, {}),
    "orchestrator stopped in order": (stopped_in_order, {}),
    "a worker evicted": (evicted, {}),
    "a shard whose worker dies each time, partial result allowed": (failing_for_good, {}),
    "a job cancelled": (cancelled, {}),
    "a batch job as one worker": (batch, {"batch_jobs": True}),
}


_QUICK = (
    "orchestrator killed between 'create Job' and its answer",
    "a shard whose worker dies each time, partial result allowed",
    "a batch job as one worker",
)

# ---------------------------------------------------------------------- many


def many(jobs: int) -> None:
    """Memory and processor time of the runner alone, over many jobs of three shards."""
    with folder() as home:
        store, template = str(home / "store"), home / "worker-pod.yaml"
        template.write_text(yaml.safe_dump(TEMPLATE))
        settings = Shards(namespace=NAMESPACE, template=template, poll_seconds=0.2, gather_seconds=0.05, ttl_seconds=60)
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.cluster.control_plane", store],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        try:
            assert server.stdout is not None
            asyncio.run(_many(server.stdout.readline().strip(), settings, store, jobs))
        finally:
            server.kill()
            server.wait()


async def _many(url: str, settings: Shards, store: str, jobs: int) -> None:
    figures = WorkerFigures()
    async with ApiClient(Configuration(host=url)) as client:
        cluster = Cluster(client, NAMESPACE, on_call=figures.called)
        async with running(cluster, settings=settings, store=Store(store), pod="", figures=figures) as runner:
            places = asyncio.Semaphore(10)
            parts = [(0.0, 0.0)]

            async def one(number: int) -> None:
                async with places:
                    for _ in range(50):
                        asked = [
                            Request(
                                "omnimatte", {"job": number, "shard": i}, {}, f"omnimatte/{i}", {"job": f"j{number}"}
                            )
                            for i in range(3)
                        ]
                        try:
                            await asyncio.gather(*(runner.run(one, on_progress=lambda _: None) for one in asked))
                            break
                        except Unavailable as error:
                            # As the executor does.
                            why = error
                        await asyncio.sleep(0.5)
                    else:
                        raise AssertionError(f"job {number} does not get through: {why}")

            tenth = jobs // 10
            for part in range(10):
                await asyncio.gather(*(one(part * tenth + i) for i in range(tenth)))
                used = resource.getrusage(resource.RUSAGE_SELF)
                parts.append((used.ru_utime + used.ru_stime, _megabytes()))
            cpu = [(b[0] - a[0]) / tenth * 1000 for a, b in itertools.pairwise(parts[1:])]
            calls = sum(
                sample.value
                for metric in figures.collect()
                for sample in metric.samples
                if sample.name == "omnimatte_kubernetes_calls_total"
            )
            restarts = next(
                sample.value
                for metric in figures.collect()
                for sample in metric.samples
                if sample.name == "omnimatte_kubernetes_watch_restarts_total"
            )
    figure(
        f"{jobs} jobs of 3 shards, server compacted and restarted all the while",
        f"all done; processor {cpu[4]:.0f} ms a job at half, {cpu[-1]:.0f} ms at the end; memory "
        f"{parts[5][1]:.0f} MB at half, {parts[-1][1]:.0f} MB at the end; {calls / jobs / 3:.1f} API "
        f"calls a shard; {restarts:.0f} watches made again; {percentile(cpu, 0.5):.0f} ms median",
    )


def _megabytes() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise AssertionError("the process has no memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=3000)
    parser.add_argument("--quick", action="store_true", help="the three scenarios with the most deaths, and few jobs")
    parser.add_argument("--only", default="", help="scenarios whose name has this in it")
    asked = parser.parse_args()
    for name, (scenario, shards) in SCENARIOS.items():
        if asked.only in name and (not asked.quick or name in _QUICK):
            with (
                folder() as home,
                real.models(str(home / "store"), home / "triton") as models,
                stand(models, home, **shards) as here,
            ):
                try:
                    figure(name, scenario(here))
                except BaseException:
                    print(here.serving.log()[-3000:], file=sys.stderr)
                    raise
    if asked.only in "many":
        many(100 if asked.quick else asked.jobs)


if __name__ == "__main__":
    main()
