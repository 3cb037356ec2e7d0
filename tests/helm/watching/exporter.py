"""A small exporter that speaks for those that only a cluster with GPUs has: DCGM, kubelet, kube-state-metrics; and for
those of the orchestrator's figures that only a cluster, or TLS, brings forth.

The figures are as the real ones write them, and those of a service that is well.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAMESPACE, MODEL_POD, ORCHESTRATOR = "studio", "omnimatte-casper-0", "omnimatte-orchestrator"

_POD = f'namespace="{NAMESPACE}",pod="{MODEL_POD}"'
_GPU = (
    f'gpu="0",UUID="GPU-1",device="nvidia0",modelName="H100",Hostname="n1",exported_namespace="{NAMESPACE}",'
    f'exported_pod="{MODEL_POD}",exported_container="triton",namespace="gpu-operator",pod="dcgm-exporter-1"'
)
_OURS = f'namespace="{NAMESPACE}",pod="{ORCHESTRATOR}-0"'
_CLAIM = f'namespace="{NAMESPACE}",persistentvolumeclaim="store"'


def figures() -> str:
    """What Prometheus reads at this moment."""
    now = int(time.time())
    return f"""\
DCGM_FI_DEV_GPU_UTIL{{{_GPU}}} 91
DCGM_FI_DEV_FB_USED{{{_GPU}}} 40000
DCGM_FI_DEV_POWER_USAGE{{{_GPU}}} 512.5
DCGM_FI_DEV_GPU_TEMP{{{_GPU}}} 61
DCGM_FI_DEV_XID_ERRORS{{{_GPU}}} 0
DCGM_FI_PROF_GR_ENGINE_ACTIVE{{{_GPU}}} 0.9
container_memory_cache{{{_POD},container=""}} 1.6e9
container_memory_total_active_file_bytes{{{_POD},container=""}} 9e8
container_memory_total_inactive_file_bytes{{{_POD},container=""}} 6e8
container_memory_working_set_bytes{{{_POD},container=""}} 6e9
container_memory_working_set_bytes{{{_POD},container="triton"}} 6e9
container_memory_rss{{{_POD},container=""}} 5e9
kubelet_volume_stats_used_bytes{{{_CLAIM}}} 4e11
kubelet_volume_stats_capacity_bytes{{{_CLAIM}}} 1e12
kube_statefulset_replicas{{namespace="{NAMESPACE}",statefulset="{ORCHESTRATOR}"}} 1
kube_statefulset_metadata_generation{{namespace="{NAMESPACE}",statefulset="{ORCHESTRATOR}"}} {now}
kube_job_failed{{namespace="{NAMESPACE}",job_name="solver-1",condition="true"}} 1
kube_job_owner{{namespace="{NAMESPACE}",job_name="backup-1",owner_kind="CronJob"}} 1
kube_pod_container_status_restarts_total{{{_POD},container="triton"}} 2
"""


@contextmanager
def exporting() -> Iterator[str]:
    """Serves them; yields HOST:PORT."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = figures().encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silence."""
