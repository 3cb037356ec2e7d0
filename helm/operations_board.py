"""The dashboard of those who run the service: orchestrators, Triton and GPUs on one page."""

from __future__ import annotations

from helm.grafana import Dashboard, Query, Row, lines, number, source
from helm.queries import (
    DCGM,
    KSM,
    KUBELET,
    MODELS,
    NAMESPACE,
    NS,
    OURS,
    RATE,
    RULES,
    dcgm,
    fleet,
    grew,
    oldest,
    quantile,
    rate,
    total,
)


def operations() -> Dashboard:
    """Orchestrator, Triton and GPUs on one page."""
    calls = rate("omnimatte_api_calls_total")
    errors = f"({rate('omnimatte_api_calls_total', where=f'{NS}, {OURS}')} or vector(0)) / ({calls} > 0 or vector(1))"
    failed = f'{NS}, state="failed"'
    now = Row(
        "Now",
        [
            number(
                "Alerts",
                "How many of our alerts fire?",
                Query('count(ALERTS{alertname=~"Omnimatte.+", alertstate="firing"}) or vector(0)'),
                bad=1,
            ),
            number("Orchestrators", "How many are on the list?", Query(fleet("omnimatte_replicas")), bad=1, low=True),
            number(
                "Database",
                "Does the database answer all of them? 1: yes.",
                Query(f"min(omnimatte_database_up{{{NS}}})"),
                bad=1,
                low=True,
            ),
            number("Waiting jobs", "How many jobs wait?", Query(fleet("omnimatte_queue_length"))),
            number(
                "Running jobs",
                "How many jobs run?",
                Query(fleet("omnimatte_jobs", where=f'{NS}, state="running"')),
            ),
            number("Places", "How many jobs can run at once?", Query(fleet("omnimatte_places"))),
            number(
                "API errors",
                "Which share of the calls fails through our fault?",
                Query(errors),
                unit="percentunit",
                bad=0.05,
            ),
            number("Stuck jobs", "How many running jobs does nobody run?", Query(fleet("omnimatte_stuck_jobs")), bad=1),
        ],
    )
    queue = Row(
        "Queue and jobs",
        [
            lines(
                "Waiting jobs by tenant and class",
                "Who waits?",
                Query(
                    f"{fleet('omnimatte_queue_jobs', 'tenant', 'class')} or on () {fleet('omnimatte_queue_length')}",
                    "{{tenant}} {{class}}",
                ),
                stack=True,
            ),
            lines(
                "Oldest waiting job",
                "How long has the oldest of each class waited? The queue alerts look at this.",
                Query(f"{oldest('omnimatte_queue_oldest_seconds', 'class')} or on () vector(0)", "{{class}}"),
                unit="s",
            ),
            lines(
                "Running jobs and places",
                "Are all places taken?",
                Query(fleet("omnimatte_jobs", where=f'{NS}, state="running"'), "running"),
                Query(fleet("omnimatte_places"), "places"),
            ),
            lines(
                "Jobs that ended",
                "How do jobs end, per second?",
                Query(rate("omnimatte_job_seconds_count", "state"), "{{state}}"),
                unit="ops",
            ),
            lines(
                "Jobs that changed hands",
                "Are jobs given back or freed? Outside of deployments both should be 0.",
                Query(rate("omnimatte_jobs_handed_back_total"), "given back"),
                Query(rate("omnimatte_sweep_jobs_total"), "freed by the sweep"),
                Query(rate("omnimatte_sweep_replicas_total"), "replicas taken for dead"),
                unit="ops",
            ),
            lines(
                "Longest silence",
                "For how long has a running job told nothing? 15 minutes are called stuck.",
                Query(oldest("omnimatte_job_silence_seconds"), "silence"),
                unit="s",
            ),
        ],
    )
    orchestrator = Row(
        "Orchestrators",
        [
            lines(
                "Calls by code",
                "How are calls answered?",
                Query(rate("omnimatte_api_calls_total", "code"), "{{code}}"),
                unit="reqps",
                stack=True,
            ),
            lines(
                "Slowest calls",
                "How long does one in a hundred take? Streams last as long as their clients listen, and are left out.",
                Query(
                    quantile(
                        0.99, "omnimatte_api_seconds", "method", where=f'{NS}, method!~"Watch.*|Upload|Download.*"'
                    ),
                    "{{method}}",
                ),
                unit="s",
            ),
            lines(
                "Calls under way",
                "How near is each replica to its limit of 2000?",
                Query(total("omnimatte_api_in_flight", "pod", "instance"), "{{pod}} {{instance}}"),
            ),
            lines(
                "Worker Jobs followed",
                "How many Kubernetes Jobs do the orchestrators look after?",
                Query(total("omnimatte_kubernetes_jobs", "kind"), "{{kind}}"),
            ),
            lines(
                "Calls to Kubernetes",
                "What does the API server answer?",
                Query(rate("omnimatte_kubernetes_calls_total", "verb", "code"), "{{verb}} {{code}}"),
                Query(rate("omnimatte_kubernetes_watch_restarts_total"), "watch restarts"),
                unit="reqps",
            ),
            lines(
                "Certificates",
                "How long are the servers' certificates valid?",
                Query(f"min by (name) (omnimatte_certificate_expiry_seconds{{{NS}}})", "{{name}}"),
                unit="s",
            ),
        ],
    )
    stages = Row(
        "Stages and Triton",
        [
            lines(
                "Runs that wait for an instance",
                "Which stage is the narrow one? This and the next panel are what autoscaling looks at.",
                Query(total("omnimatte_stage_waiting", "stage"), "{{stage}}"),
                stack=True,
            ),
            lines(
                "Longest wait for an instance",
                "For how long?",
                Query(oldest("omnimatte_stage_oldest_wait_seconds", "stage"), "{{stage}}"),
                unit="s",
            ),
            lines(
                "Runs under way",
                "What is being computed?",
                Query(total("omnimatte_stages_in_flight", "stage"), "{{stage}}"),
                stack=True,
            ),
            lines(
                "Runs that failed, or were tried again",
                "Which stage makes trouble?",
                Query(
                    f"{rate('omnimatte_stage_runs_total', 'stage', where=failed)} or on () vector(0)",
                    "{{stage}} failed",
                ),
                Query(f"{rate('omnimatte_stage_retries_total', 'stage')} or on () vector(0)", "{{stage}} tried again"),
                unit="ops",
            ),
            lines(
                "Waiting inside of Triton",
                "Do requests wait where they should not? It should be near 0: what waits, waits in the orchestrator.",
                Query(total("nv_inference_pending_request_count", "model", where=f"{NS}, {MODELS}"), "{{model}}"),
                stack=True,
            ),
            lines(
                "Triton: requests",
                "How many requests does each model answer, and how many fail?",
                Query(rate("nv_inference_request_success", "model", where=f"{NS}, {MODELS}"), "{{model}}"),
                Query(
                    rate("nv_inference_request_failure", "model", "reason", where=f"{NS}, {MODELS}"),
                    "{{model}} failed: {{reason}}",
                ),
                unit="reqps",
            ),
            lines(
                "Triton: instances at work",
                "How many instances of each model compute on average? Compare with how many there are.",
                Query(
                    f"{rate('nv_inference_compute_infer_duration_us', 'model', where=f'{NS}, {MODELS}')} / 1e6",
                    "{{model}}",
                ),
                stack=True,
            ),
            lines(
                "Triton: time in its queue",
                "How long does a request wait inside of Triton, on average?",
                Query(
                    f"{rate('nv_inference_queue_duration_us', 'model', where=f'{NS}, {MODELS}')} / 1e6 / "
                    f"({rate('nv_inference_request_success', 'model', where=f'{NS}, {MODELS}')} > 0)"
                    f" or 0 * {total('nv_inference_pending_request_count', 'model', where=f'{NS}, {MODELS}')}",
                    "{{model}}",
                ),
                unit="s",
            ),
            lines(
                "Slow stage runs",
                "How long does one run in twenty take, of those that computed something?",
                Query(quantile(0.95, "omnimatte_stage_seconds", "stage"), "{{stage}}"),
                unit="s",
            ),
        ],
    )
    gpus = Row(
        "GPUs",
        [
            lines(
                "GPU utilisation",
                "Do the GPUs work? Idle ones while runs wait are what OmnimatteGpuIdle is about.",
                Query(f"{dcgm('DCGM_FI_DEV_GPU_UTIL')} / 100", "{{pod}} {{gpu}}", foreign=DCGM),
                unit="percentunit",
                defaults={"max": 1},
            ),
            lines(
                "GPU memory",
                "How much of it is taken?",
                Query(f"{dcgm('DCGM_FI_DEV_FB_USED')} * 1024 * 1024", "{{pod}} {{gpu}}", foreign=DCGM),
                unit="bytes",
            ),
            lines(
                "GPU of a stage, and its queue",
                "Does the least busy GPU of a stage rest while runs wait for the stage?",
                Query(f"omnimatte:stage_gpu_utilisation:min{{{NS}}}", "{{stage}} utilisation", foreign=DCGM),
                Query(f"omnimatte:stage_waiting:sum{{{NS}}}", "{{stage}} waiting", foreign=RULES),
            ),
            lines(
                "Power",
                "What do they draw?",
                Query(dcgm("DCGM_FI_DEV_POWER_USAGE"), "{{pod}} {{gpu}}", foreign=DCGM),
                unit="watt",
            ),
            lines(
                "Temperature",
                "Are they too hot?",
                Query(dcgm("DCGM_FI_DEV_GPU_TEMP"), "{{pod}} {{gpu}}", foreign=DCGM),
                unit="celsius",
            ),
            lines(
                "Last XID error",
                "Has the driver reported a fault? 0: none; others are in NVIDIA's list of XID errors.",
                Query(dcgm("DCGM_FI_DEV_XID_ERRORS"), "{{pod}} {{gpu}}", foreign=DCGM),
            ),
        ],
    )
    room = Row(
        "Room",
        [
            lines(
                "Store",
                "How full is the artifact store? Limit 0: none.",
                Query(oldest("omnimatte_store_bytes", "namespace"), "{{namespace}} used"),
                Query(oldest("omnimatte_store_limit_bytes", "namespace"), "{{namespace}} limit"),
                unit="bytes",
            ),
            lines(
                "Collected",
                "What is removed because nobody needs it?",
                Query(
                    f"{rate('omnimatte_store_collected_bytes_total', 'kind')} or on () vector(0)",
                    "{{kind}}",
                ),
                unit="Bps",
            ),
            lines(
                "Collections",
                "Do they succeed? Once an hour, over all replicas.",
                Query(
                    f"{grew('omnimatte_store_collections_total', 'outcome', window='1h')} or on () vector(0)",
                    "{{outcome}}",
                ),
            ),
            lines(
                "Volumes",
                "How full are the claims of the namespace?",
                Query(
                    f"max by (persistentvolumeclaim) (kubelet_volume_stats_used_bytes{{{NS}}} / "
                    f"(kubelet_volume_stats_capacity_bytes{{{NS}}} > 0))",
                    "{{persistentvolumeclaim}}",
                    foreign=KUBELET,
                ),
                unit="percentunit",
                defaults={"max": 1},
            ),
            lines(
                "Shared memory of the model pods",
                "Does /dev/shm grow?",
                Query(f"omnimatte:pod_shared_memory_bytes:max{{{NS}}}", "{{pod}}", foreign=f"{KUBELET} and {RULES}"),
                unit="bytes",
            ),
            lines(
                "Memory of the pods",
                "How much memory can not be taken back?",
                Query(
                    f'sum by (pod) (container_memory_working_set_bytes{{{NS}, container!=""}})',
                    "{{pod}}",
                    foreign=KUBELET,
                ),
                unit="bytes",
            ),
            lines(
                "Restarts",
                "Do containers restart?",
                Query(
                    f"sum by (pod, container) (increase(kube_pod_container_status_restarts_total{{{NS}}}[{RATE}]))",
                    "{{pod}} {{container}}",
                    foreign=KSM,
                ),
            ),
        ],
    )
    return Dashboard(
        uid="omnimatte-operations",
        title="Omnimatte: operations",
        asks="Is the service well, and if not, where is it narrow or broken?",
        variables=[source(), NAMESPACE],
        rows=[now, queue, orchestrator, stages, gpus, room],
    )
