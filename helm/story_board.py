"""The dashboard of those who ask why a job takes so long."""

from __future__ import annotations

from helm.grafana import Dashboard, Query, Row, bars, entry, explore, lines, link, number, source, text, values
from helm.queries import NAMESPACE, NS, RANGE, fleet, grew, mean, oldest, quantile, rate, total

STORY = """\
Figures never carry a job's id: there would be no end of series. For **one** job, put its id (the part after `jobs/`)
into *Job* above.

- **Logs of the job**: what every process said about it. Lines are JSON with `job`, `tenant`, `attempt`.
- **Trace of the job**: each attempt is a span; below it `queued`, then one for each stage run, with its `load`, `run`.
- On the command line: `omnimatte jobs get ID` says why a waiting job waits, and how far each stage is.

The panels say whether such a job is unusual: they are about all jobs of the class, and all runs of the stage.
"""


def story() -> Dashboard:
    """What a job waits for, and where its time goes."""
    of_class = f'{NS}, class=~"$class"'
    of_stage = f'{NS}, stage=~"$stage"'
    of_tenant = f'{NS}, tenant=~"$tenant", class=~"$class"'
    spent = f'{NS}, tenant=~"$tenant", stage=~"$stage"'
    cached = f'{of_stage}, state="cached"'
    of_model = f'{NS}, model=~"$stage"'
    succeeded = f'{NS}, state="succeeded"'
    wait = "omnimatte_job_wait_seconds"
    logs = explore("${logs}", {"expr": '{namespace=~".+"} |= "${job}"', "queryType": "range"})
    trace = explore("${traces}", {"query": '{ span.omnimatte.job = "${job}" }', "queryType": "traceql"})
    return Dashboard(
        uid="omnimatte-story",
        title="Omnimatte: one job's story",
        asks="What does a job wait for, and where does its time go?",
        variables=[
            source(),
            source("logs", "loki", "Logs"),
            source("traces", "tempo", "Traces"),
            NAMESPACE,
            values("tenant", "Tenant", "omnimatte_processor_seconds_total"),
            values("class", "Class", "omnimatte_jobs_taken_total"),
            values("stage", "Stage", "omnimatte_stage_runs_total"),
            entry("job", "Job", ""),
        ],
        links=[
            link("Logs of the job", logs, tooltip="In Loki, of the last day"),
            link("Trace of the job", trace, tooltip="In Tempo, of the last day"),
        ],
        rows=[
            Row(
                "The job",
                [
                    text("How to follow one job", STORY, width=12, height=8),
                    number(
                        "Usual wait",
                        "How long do half of the jobs of the class wait, over the time shown?",
                        Query(quantile(0.5, wait, where=of_class, window=RANGE)),
                        unit="s",
                    ),
                    number(
                        "Long wait",
                        "How long does one in twenty wait?",
                        Query(quantile(0.95, wait, where=of_class, window=RANGE)),
                        unit="s",
                    ),
                    number(
                        "Usual run",
                        "How long do half of the jobs run that succeed?",
                        Query(quantile(0.5, "omnimatte_job_seconds", where=succeeded, window=RANGE)),
                        unit="s",
                    ),
                    number(
                        "Long run",
                        "How long does one in twenty run?",
                        Query(quantile(0.95, "omnimatte_job_seconds", where=succeeded, window=RANGE)),
                        unit="s",
                    ),
                ],
            ),
            Row(
                "Before it starts: it waits for a place",
                [
                    lines(
                        "Jobs that wait",
                        "Who else waits? Interactive jobs go before batch jobs; tenants share by weight.",
                        Query(
                            f"{fleet('omnimatte_queue_jobs', 'tenant', 'class', where=of_tenant)} or on () vector(0)",
                            "{{tenant}} {{class}}",
                        ),
                        stack=True,
                    ),
                    lines(
                        "Oldest of them",
                        "How long have they waited?",
                        Query(
                            f"{oldest('omnimatte_queue_oldest_seconds', 'tenant', 'class', where=of_tenant)} "
                            "or on () vector(0)",
                            "{{tenant}} {{class}}",
                        ),
                        unit="s",
                    ),
                    lines(
                        "Wait until the first start",
                        "How long did the jobs wait that started?",
                        Query(quantile(0.5, wait, "class", where=of_class), "{{class}}: half"),
                        Query(quantile(0.95, wait, "class", where=of_class), "{{class}}: one in twenty"),
                        unit="s",
                    ),
                ],
            ),
            Row(
                "While it runs: its stages wait for instances",
                [
                    lines(
                        "Runs that wait",
                        "For which stage?",
                        Query(total("omnimatte_stage_waiting", "stage", where=of_stage), "{{stage}}"),
                        stack=True,
                    ),
                    lines(
                        "The longest wait",
                        "For how long?",
                        Query(oldest("omnimatte_stage_oldest_wait_seconds", "stage", where=of_stage), "{{stage}}"),
                        unit="s",
                    ),
                    lines(
                        "Tried again",
                        "Was a stage out of reach, so that its runs had to wait for it?",
                        Query(
                            f"{rate('omnimatte_stage_retries_total', 'stage', where=of_stage)} or on () vector(0)",
                            "{{stage}}",
                        ),
                        unit="ops",
                    ),
                ],
            ),
            Row(
                "Where its time goes",
                [
                    bars(
                        "Mean run of each stage",
                        "Which stage takes the time, in seconds of wall time a run?",
                        Query(mean("omnimatte_stage_seconds", "stage", where=of_stage, window=RANGE), "{{stage}}"),
                        unit="s",
                    ),
                    lines(
                        "Runs of each stage",
                        "Has it become slower? Half of the runs, and one in twenty.",
                        Query(quantile(0.5, "omnimatte_stage_seconds", "stage", where=of_stage), "{{stage}}: half"),
                        Query(
                            quantile(0.95, "omnimatte_stage_seconds", "stage", where=of_stage),
                            "{{stage}}: one in twenty",
                        ),
                        unit="s",
                    ),
                    lines(
                        "Time of instances",
                        "How much time of model instances do the tenant's jobs take, a second?",
                        Query(
                            rate("omnimatte_processor_seconds_total", "stage", "processor", where=spent),
                            "{{stage}} {{processor}}",
                        ),
                        stack=True,
                    ),
                    lines(
                        "Found in the store",
                        "Which share of the runs cost nothing, because the result was there?",
                        Query(
                            f"({rate('omnimatte_stage_runs_total', 'stage', where=cached)} or "
                            f"0 * {rate('omnimatte_stage_runs_total', 'stage', where=of_stage)}) / "
                            f"({rate('omnimatte_stage_runs_total', 'stage', where=of_stage)} > 0)",
                            "{{stage}}",
                        ),
                        unit="percentunit",
                        defaults={"max": 1},
                    ),
                    lines(
                        "Overhead of worker Jobs",
                        "What does Kubernetes add to a sharded stage, besides the computing?",
                        Query(quantile(0.5, "omnimatte_shard_overhead_seconds"), "half"),
                        Query(quantile(0.95, "omnimatte_shard_overhead_seconds"), "one in twenty"),
                        unit="s",
                    ),
                    lines(
                        "Time inside of Triton",
                        "How long does a request take in each model, waiting for an instance included?",
                        Query(
                            f"{rate('nv_inference_request_duration_us', 'model', where=of_model)} / 1e6"
                            f" / ({rate('nv_inference_request_success', 'model', where=of_model)} > 0)"
                            f" or 0 * {total('nv_inference_pending_request_count', 'model', where=of_model)}",
                            "{{model}}",
                        ),
                        unit="s",
                    ),
                ],
            ),
            Row(
                "How it ends",
                [
                    lines(
                        "Length of jobs",
                        "How long did jobs run, from their start to their end?",
                        Query(quantile(0.5, "omnimatte_job_seconds", "state"), "{{state}}: half"),
                        Query(quantile(0.95, "omnimatte_job_seconds", "state"), "{{state}}: one in twenty"),
                        unit="s",
                    ),
                    bars(
                        "Jobs by end",
                        "How did they end, over the time shown?",
                        Query(grew("omnimatte_job_seconds_count", "state"), "{{state}}"),
                    ),
                    lines(
                        "Attempts",
                        "Did jobs begin more than once? Given back ones begin again and go on from what is done.",
                        Query(rate("omnimatte_jobs_taken_total", "class", where=of_class), "begun {{class}}"),
                        Query(rate("omnimatte_jobs_handed_back_total"), "given back"),
                        unit="ops",
                    ),
                ],
            ),
        ],
    )
