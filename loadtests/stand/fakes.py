"""A control plane with all its real parts over model servers without models, on this machine's own addresses.

    clients -> orchestrators (processes, SQLite or PostgreSQL) -> nodes (processes; a fake Triton each) -> store

Its processes can be killed, and nodes made slow or lost: see loadtests/chaos.py.
Must not know: what is sent to it.
"""

from __future__ import annotations

import contextlib
import json
import os
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import yaml

from loadtests.scenario import Tenant
from loadtests.stand.child import Child
from loadtests.stand.settings import StandSettings
from loadtests.stand.target import Target, wait_serving
from orchestrator.access.keys import Keys
from orchestrator.db import Database
from orchestrator.scheduling.policy import Policy
from orchestrator.triton_server import free_port
from services.registry import STAGES

NAME = "models.fakes"
"""Whom the orchestrators ask the name service for."""

_GRPC, _METRICS = 8001, 8002


class FakeStand:
    """Nodes and orchestrators. Use `fake_stand`."""

    def __init__(
        self,
        settings: StandSettings,
        *,
        tenants: Mapping[str, Tenant],
        folder: Path,
        store: str,
        database_url: str,
        environment: Mapping[str, str],
        report: Path | None = None,
    ) -> None:
        """environment: more variables for all processes. report: where stage times come from; default: ours."""
        self.settings, self.folder, self.store = settings, folder, store
        self._environment, self._report, self._database_url = dict(environment), report, database_url
        # A network of our own, so that two stands on one machine do not meet.
        self._net = "127.{}.{}".format(*(1 + byte % 250 for byte in os.urandom(2)))
        self._names = folder / "names.json"
        self.nodes: dict[str, Child] = {}
        self.orchestrators: dict[str, Child] = {}
        self._ports = {f"load-{i}": (free_port(), free_port()) for i in range(settings.replicas)}
        self.tokens = self._tokens(tenants)
        self._write_tenants(tenants)

    def start(self) -> None:
        """All of it; returns when it serves."""
        for i in range(self.settings.nodes):
            self.start_node(f"node-{i}")
        for name in self._ports:
            self.start_orchestrator(name)

    def stop(self) -> None:
        """End what runs: those who ask first."""
        for child in [*self.orchestrators.values(), *self.nodes.values()]:
            child.end()

    @property
    def target(self) -> Target:
        """To be put under load."""
        settings = self.settings
        database = self._database_url.removeprefix("sqlite:///")
        return Target(
            name="fakes",
            addresses=[f"127.0.0.1:{port}" for port, _ in self._ports.values()],
            tokens=self.tokens,
            metrics=[f"http://127.0.0.1:{port}/metrics" for _, port in self._ports.values()],
            models=[f"{self.host(f'node-{i}')}:{_GRPC}" for i in range(settings.nodes)],
            model_metrics=[f"http://{self.host(f'node-{i}')}:{_METRICS}/metrics" for i in range(settings.nodes)],
            processes=self._processes,
            store=None if "://" in self.store else Path(self.store),
            database=Path(database) if database != self._database_url else None,
            capacity={
                "running_jobs": settings.running_jobs * settings.replicas,
                "running_stages": settings.running_stages * settings.replicas,
                "places": settings.places(),
                "gpus": settings.nodes,
            },
        )

    def start_node(self, name: str) -> None:
        """A node, and the name service says so."""
        options = {
            "store": self.store,
            "host": self.host(name),
            "port": _GRPC,
            "metrics_port": _METRICS,
            "instances": dict(self.settings.instances),
            "scale": self.settings.scale,
            "faults": {"unavailable": self.settings.unavailable, "bad": self.settings.bad},
            "report": str(self._report or ""),
        }
        child = Child(
            name,
            ["-m", "loadtests.fakes", json.dumps(options)],
            logs=self.folder,
            environment=self._environment,
        )
        self.nodes[name] = child
        child.line()
        self._tell_names()

    def lose_node(self, name: str) -> None:
        """Kill a node outright; the name service notices it at once, the orchestrators with their next look."""
        self.nodes.pop(name).kill()
        self._tell_names()

    def trouble(self, name: str, *, slow: float = 1.0, store_seconds: float = 0.0) -> None:
        """Make a node slow, or what it does in the store; the defaults make it well again."""
        request = urllib.request.Request(
            f"http://{self.host(name)}:{_METRICS}/trouble",
            data=json.dumps({"slow": slow, "store_seconds": store_seconds}).encode(),
            method="PUT",
        )
        urllib.request.urlopen(request, timeout=5).close()

    def start_orchestrator(self, name: str) -> float:
        """One of them, on the ports that it always has; seconds until it served."""
        port, metrics_port = self._ports[name]
        config = self.folder / f"{name}.yaml"
        config.write_text(yaml.safe_dump(self._config(port, metrics_port)))
        environment = {
            **self._environment,
            "OMNIMATTE_DATABASE_URL": self._database_url,
            "OMNIMATTE_EXECUTOR_ID": name,
        }
        arguments = ["-m", "loadtests.stand.orchestrator", str(config), str(self._names)]
        child = Child(name, arguments, logs=self.folder, environment=environment)
        self.orchestrators[name] = child
        return wait_serving(f"127.0.0.1:{port}", alive=lambda: child.process.poll() is None)

    def kill_orchestrator(self, name: str) -> None:
        """Outright."""
        self.orchestrators.pop(name).kill()

    def host(self, node: str) -> str:
        """The address of the node of that name."""
        return f"{self._net}.{1 + int(node.rpartition('-')[2])}"

    def _tell_names(self) -> None:
        draft = self._names.with_suffix(".new")
        draft.write_text(json.dumps({NAME: [self.host(node) for node in self.nodes]}))
        draft.replace(self._names)

    def _config(self, port: int, metrics_port: int) -> dict[str, object]:
        settings = self.settings
        return {
            "store": self.store,
            "port": port,
            "metrics_port": metrics_port,
            "replicas": settings.replicas,
            "running_jobs": settings.running_jobs,
            "running_stages": settings.running_stages,
            "access": {"api_keys": True, "audit_log": str(self.folder / "audit.log")},
            "pace": {"silent": settings.silent_seconds, "beat": settings.silent_seconds / 5},
            "hygiene": {"collect_seconds": settings.collect_seconds, "grace_seconds": settings.grace_seconds},
            "models": dict.fromkeys(STAGES, f"{NAME}:{_GRPC}"),
            "stage_limits": dict(settings.instances),
            "tenants": str(self.folder / "tenants.toml"),
        }

    def _tokens(self, tenants: Mapping[str, Tenant]) -> dict[str, str]:
        database = Database(self._database_url)
        try:
            keys = Keys(database.engine)
            return {name: keys.create(tenant=name) for name in tenants}
        finally:
            database.close()

    def _write_tenants(self, tenants: Mapping[str, Tenant]) -> None:
        lines = []
        for name, tenant in tenants.items():
            pending = tenant.pending or self.settings.pending
            policy = Policy(weight=tenant.share, running=tenant.running, pending=pending)
            lines += [f'[tenants."{name}"]', *(f"{key} = {value}" for key, value in asdict(policy).items())]
        (self.folder / "tenants.toml").write_text("\n".join(lines) + "\n")

    def _processes(self) -> Mapping[str, Sequence[int]]:
        return {name: [child.process.pid] for name, child in {**self.orchestrators, **self.nodes}.items()}


@contextmanager
def fake_stand(
    settings: StandSettings,
    *,
    tenants: Mapping[str, Tenant],
    folder: Path,
    environment: Mapping[str, str] | None = None,
    report: Path | None = None,
) -> Iterator[FakeStand]:
    """A stand that serves, for the length of the block; everything that it writes is in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        more = dict(environment or {})
        database_url = f"sqlite:///{folder.absolute() / 'orchestrator.sqlite'}"
        if settings.database == "postgresql":
            from tests import postgres

            database_url = stack.enter_context(postgres.serving()).database()
        store = str(folder.absolute() / "store")
        if settings.store == "s3":
            from tests import s3

            url = stack.enter_context(s3.serving())
            store = s3.new_bucket(url)
            more |= s3.environment(url)
        stand = FakeStand(
            settings,
            tenants=tenants,
            folder=folder,
            store=store,
            database_url=database_url,
            environment=more,
            report=report,
        )
        stack.callback(stand.stop)
        stand.start()
        yield stand
