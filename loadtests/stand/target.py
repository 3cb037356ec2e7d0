"""What a run is sent to, and what can be measured about it. Must not know: how it came up."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.errors import Unavailable


@dataclass(frozen=True)
class Target:
    """A service under load.

    Attributes:
        name: what a report calls it. addresses: HOST:PORT of each orchestrator's gRPC API.
        tokens: API key of each tenant; without one, calls carry none.
        metrics: URLs of the orchestrators' figures.
        models: HOST:PORT of model servers that speak Triton's protocol, for their statistics.
        model_metrics: URLs of their figures.
        processes: name -> the process ids that it has now. None are known of a service elsewhere.
        store, database: folders or files of this machine whose sizes are watched.
        capacity: what there is to use: running_jobs, running_stages, and places of each stage.
        real: whether models compute, so that clips must be real ones.
    """

    name: str
    addresses: Sequence[str]
    tokens: Mapping[str, str] = field(default_factory=dict)
    metrics: Sequence[str] = ()
    models: Sequence[str] = ()
    model_metrics: Sequence[str] = ()
    processes: Callable[[], Mapping[str, Sequence[int]]] = dict
    store: Path | None = None
    database: Path | None = None
    capacity: Mapping[str, object] = field(default_factory=dict)
    real: bool = False


def wait_serving(address: str, *, seconds: float = 60.0, alive: Callable[[], bool] = lambda: True) -> float:
    """Seconds until the service at `address` said that it serves. Raises Unavailable if it does not."""
    began = time.monotonic()
    while True:
        # A channel of its own each time: one that was refused waits longer and longer before it asks again.
        with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=2)
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return time.monotonic() - began
            except grpc.RpcError:
                pass
        if not alive() or time.monotonic() - began > seconds:
            raise Unavailable(f"the service at {address} does not serve; see its log.")
        time.sleep(0.1)
