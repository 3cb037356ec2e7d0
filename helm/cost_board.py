"""The dashboard of those who pay."""

from __future__ import annotations

from helm.grafana import Dashboard, Query, Row, choice, entry, lines, number, source, table, values
from helm.queries import DCGM, NAMESPACE, NS, RANGE, fleet, grew, mean, quantile, rate


def cost() -> Dashboard:
    """GPU-seconds and what they cost."""
    spent = f'{NS}, tenant=~"$tenant", stage=~"$stage", processor="$processor"'
    seconds = "omnimatte_processor_seconds_total"
    money = "/ 3600 * $price"
    per_job = f'{NS}, processor="$processor"'
    on_gpus = f'{NS}, processor="gpu"'
    of_stage = f'{NS}, stage=~"$stage"'
    gpus = (
        'count(DCGM_FI_DEV_GPU_UTIL{exported_namespace=~"$namespace", exported_pod!=""} or '
        f'DCGM_FI_DEV_GPU_UTIL{{{NS}, exported_pod=""}})'
    )
    return Dashboard(
        uid="omnimatte-cost",
        title="Omnimatte: cost",
        asks="Who uses how much, what does a job cost, and what is paid for without being used?",
        variables=[
            source(),
            NAMESPACE,
            values("tenant", "Tenant", seconds),
            values("stage", "Stage", seconds),
            choice("processor", "Processor", ("gpu", "cpu")),
            entry("price", "Price of an hour", "2.50"),
        ],
        since="now-7d",
        rows=[
            Row(
                "In all",
                [
                    number(
                        "Used",
                        "How much time of model instances was used, over the time shown? On GPUs: GPU-seconds.",
                        Query(grew(seconds, where=spent)),
                        unit="s",
                    ),
                    number(
                        "Cost",
                        "What is that, at the price above? In the currency in which the price is given.",
                        Query(f"{grew(seconds, where=spent)} {money}"),
                        unit="none",
                    ),
                    number(
                        "Jobs",
                        "How many jobs succeeded?",
                        Query(grew("omnimatte_job_seconds_count", where=f'{NS}, state="succeeded"')),
                    ),
                    number(
                        "Time per attempt",
                        "How much does an attempt at a job take, on average?",
                        Query(mean("omnimatte_job_processor_seconds", where=per_job, window=RANGE)),
                        unit="s",
                    ),
                    number(
                        "Cost per attempt",
                        "What is that? A job that went from one replica to another is an attempt on each.",
                        Query(f"({mean('omnimatte_job_processor_seconds', where=per_job, window=RANGE)}) {money}"),
                        unit="none",
                    ),
                    number(
                        "GPUs held",
                        "How many GPUs do pods of the chosen namespaces hold now, used or not?",
                        Query(gpus, foreign=DCGM),
                    ),
                    number(
                        "Used of what is held",
                        "Which share of the GPU time that is paid for do runs use? The rest: idle, loading, failed.",
                        Query(
                            f"{rate(seconds, where=on_gpus, window=RANGE)} / avg_over_time({gpus}[{RANGE}:])",
                            foreign=DCGM,
                        ),
                        unit="percentunit",
                    ),
                    number(
                        "Saved by the store",
                        "How much time did runs not take because their result was there, at the mean of their stage?",
                        Query(
                            "sum("
                            + grew("omnimatte_stage_runs_total", "stage", where=f'{of_stage}, state="cached"')
                            + " * "
                            + mean("omnimatte_stage_seconds", "stage", window=RANGE)
                            + ") or on () vector(0)"
                        ),
                        unit="s",
                    ),
                ],
            ),
            Row(
                "By tenant",
                [
                    table(
                        "Tenants",
                        "Who uses how much, over the time shown? Beyond 100 tenants, the rest is (others).",
                        {
                            "Time": (Query(grew(seconds, "tenant", where=spent)), "s"),
                            "Cost": (Query(f"{grew(seconds, 'tenant', where=spent)} {money}"), "none"),
                            "Share": (
                                Query(
                                    f"{grew(seconds, 'tenant', where=spent)} / on () group_left () "
                                    f"{grew(seconds, where=spent)}"
                                ),
                                "percentunit",
                            ),
                        },
                        by="tenant",
                        width=12,
                    ),
                    lines(
                        "Time by tenant",
                        "When? Instances in use at once, on average.",
                        Query(rate(seconds, "tenant", where=spent), "{{tenant}}"),
                        stack=True,
                        width=12,
                    ),
                ],
            ),
            Row(
                "By stage",
                [
                    table(
                        "Stages",
                        "Which stage is expensive, over the time shown?",
                        {
                            "Time": (Query(grew(seconds, "stage", where=spent)), "s"),
                            "Cost": (Query(f"{grew(seconds, 'stage', where=spent)} {money}"), "none"),
                            "Runs": (
                                Query(
                                    grew(
                                        "omnimatte_stage_runs_total",
                                        "stage",
                                        where=f'{of_stage}, state="done"',
                                    )
                                ),
                                "short",
                            ),
                        },
                        by="stage",
                        width=12,
                    ),
                    lines(
                        "Time by stage",
                        "When? Instances in use at once, on average.",
                        Query(rate(seconds, "stage", where=spent), "{{stage}}"),
                        stack=True,
                        width=12,
                    ),
                ],
            ),
            Row(
                "A job",
                [
                    lines(
                        "Time of instances per attempt",
                        "What does a job of each class take: half of them, and one in twenty?",
                        Query(
                            quantile(0.5, "omnimatte_job_processor_seconds", "class", where=per_job), "{{class}}: half"
                        ),
                        Query(
                            quantile(0.95, "omnimatte_job_processor_seconds", "class", where=per_job),
                            "{{class}}: one in twenty",
                        ),
                        unit="s",
                    ),
                    lines(
                        "Cost per attempt",
                        "What is that on average, in money?",
                        Query(
                            f"({mean('omnimatte_job_processor_seconds', 'class', where=per_job)}) {money}", "{{class}}"
                        ),
                        unit="none",
                    ),
                    lines(
                        "Uploaded",
                        "How much comes in?",
                        Query(rate("omnimatte_upload_bytes_total"), "uploaded"),
                        unit="Bps",
                    ),
                    lines(
                        "Kept",
                        "How much lies in the store, and is paid for?",
                        Query(fleet("omnimatte_store_bytes"), "kept"),
                        unit="bytes",
                    ),
                ],
            ),
        ],
    )
