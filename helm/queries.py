"""PromQL as the dashboards need it.

Fleet gauges come from the database and are the same on every replica: `max`; a replica's own are added up.
The dashboards do not need the recording rules, but for figures that would be too long without.
Must not know: which panel asks.
"""

from __future__ import annotations

from helm.grafana import values

KSM, KUBELET, DCGM = "kube-state-metrics", "the kubelet's metrics", "NVIDIA's DCGM exporter"
RULES = "the chart's recording rules"

NS = 'namespace=~"$namespace"'
RATE = "$__rate_interval"
RANGE = "$__range"
MODELS = 'model=~"ingest|sam2|preview|region|plate|casper|ssr|depth|omnimatte|finish|compose"'
OURS = 'code=~"INTERNAL|UNKNOWN|UNAVAILABLE|DATA_LOSS"'

NAMESPACE = values("namespace", "Namespace", "omnimatte_build_info")


def fleet(metric: str, *labels: str, where: str = NS) -> str:
    """A fleet gauge, by `labels`: the same on all replicas of a namespace, added up over the namespaces."""
    by = f" by ({', '.join(labels)})" if labels else ""
    return f"sum{by} (max by ({', '.join(('namespace', *labels))}) ({metric}{{{where}}}))"


def oldest(metric: str, *labels: str, where: str = NS) -> str:
    by = f" by ({', '.join(labels)})" if labels else ""
    return f"max{by} ({metric}{{{where}}})"


def total(metric: str, *labels: str, where: str = NS) -> str:
    """A replica's own gauge, added up."""
    by = f" by ({', '.join(labels)})" if labels else ""
    return f"sum{by} ({metric}{{{where}}})"


def rate(metric: str, *labels: str, where: str = NS, window: str = RATE) -> str:
    by = f" by ({', '.join(labels)})" if labels else ""
    return f"sum{by} (rate({metric}{{{where}}}[{window}]))"


def grew(metric: str, *labels: str, where: str = NS, window: str = RANGE) -> str:
    """By how much a counter grew over the time that the dashboard shows."""
    by = f" by ({', '.join(labels)})" if labels else ""
    return f"sum{by} (increase({metric}{{{where}}}[{window}]))"


def quantile(share: float, metric: str, *labels: str, where: str = NS, window: str = RATE) -> str:
    return (
        f"histogram_quantile({share:g}, "
        f"sum by ({', '.join((*labels, 'le'))}) (rate({metric}_bucket{{{where}}}[{window}])))"
    )


def mean(metric: str, *labels: str, where: str = NS, window: str = RATE) -> str:
    above = rate(f"{metric}_sum", *labels, where=where, window=window)
    return f"{above} / {rate(f'{metric}_count', *labels, where=where, window=window)}"


def dcgm(metric: str) -> str:
    """A figure of the DCGM exporter, by pod and GPU, of the GPUs in use in the namespace.

    Who uses one stands in `pod`, or in `exported_pod` where the exporter is scraped without honorLabels.
    """
    pods = (
        f'label_replace({metric}{{exported_namespace=~"$namespace", exported_pod!=""}}, '
        f'"pod", "$1", "exported_pod", "(.+)") or {metric}{{{NS}, exported_pod=""}}'
    )
    return f"max by (pod, gpu, UUID) ({pods})"
