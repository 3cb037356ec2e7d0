"""Series that the rules and dashboards use and that a running orchestrator or Triton does not tell by itself."""

from __future__ import annotations

FOREIGN: frozenset[str] = frozenset(
    {
        # Prometheus' own.
        "ALERTS",
        # NVIDIA's DCGM exporter.
        "DCGM_FI_DEV_GPU_UTIL",
        "DCGM_FI_DEV_FB_USED",
        "DCGM_FI_DEV_POWER_USAGE",
        "DCGM_FI_DEV_GPU_TEMP",
        "DCGM_FI_DEV_XID_ERRORS",
        "DCGM_FI_PROF_GR_ENGINE_ACTIVE",
        # The kubelet, with its cadvisor.
        "container_memory_cache",
        "container_memory_rss",
        "container_memory_total_active_file_bytes",
        "container_memory_total_inactive_file_bytes",
        "container_memory_working_set_bytes",
        "kubelet_volume_stats_capacity_bytes",
        "kubelet_volume_stats_used_bytes",
        # kube-state-metrics.
        "kube_job_failed",
        "kube_job_owner",
        "kube_pod_container_status_restarts_total",
        "kube_statefulset_metadata_generation",
        "kube_statefulset_replicas",
    }
)
"""Whose exporters a cluster has and this machine has not; tests speak for them (exporter.py)."""

QUIET: frozenset[str] = frozenset({"omnimatte:api_errors:rate10m", "omnimatte:api_errors:ratio_rate10m"})
"""Recorded only once a call has failed through our fault, which none does here."""
