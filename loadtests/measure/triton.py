"""What model servers say of their requests, by Triton's own statistics: how long these queued there and computed.

Must not know: who sent them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc


@dataclass(frozen=True)
class ModelTimes:
    """Sums over a model's requests. Seconds."""

    requests: int = 0
    queued: float = 0.0
    computed: float = 0.0

    def __sub__(self, earlier: ModelTimes) -> ModelTimes:
        return ModelTimes(
            self.requests - earlier.requests, self.queued - earlier.queued, self.computed - earlier.computed
        )

    def __add__(self, other: ModelTimes) -> ModelTimes:
        return ModelTimes(self.requests + other.requests, self.queued + other.queued, self.computed + other.computed)


def statistics(addresses: Sequence[str]) -> dict[str, ModelTimes]:
    """By model, over all servers; one that does not answer is left out."""
    found: dict[str, ModelTimes] = {}
    for address in addresses:
        with grpc.insecure_channel(address) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            try:
                answer = stub.ModelStatistics(service_pb2.ModelStatisticsRequest(), timeout=5)
            except grpc.RpcError:
                continue
        for one in answer.model_stats:
            stats = one.inference_stats
            times = ModelTimes(
                requests=int(stats.success.count + stats.fail.count),
                queued=stats.queue.ns / 1e9,
                computed=(stats.compute_input.ns + stats.compute_infer.ns + stats.compute_output.ns) / 1e9,
            )
            found[one.name] = found.get(one.name, ModelTimes()) + times
    return found


def between(before: Mapping[str, ModelTimes], after: Mapping[str, ModelTimes]) -> dict[str, ModelTimes]:
    """What came in between, by model. A server that began anew meanwhile counts from zero."""
    return {
        name: times - before[name] if name in before and times.requests >= before[name].requests else times
        for name, times in after.items()
    }
