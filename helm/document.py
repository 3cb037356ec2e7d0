"""Writes the chart's README.md from the comments in its values.yaml, or checks that it is up to date.

    python -m helm.document            write it
    python -m helm.document --check    exit 1 if it differs from what would be written

A comment that begins with `# --` says what the key below it is; lines that go on follow with `#` alone.
Must not know: what a value does.
"""

# ruff: noqa: E501 - the page's tables stand here as they are
from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parent / "omnimatte"
PLACE = CHART / "README.md"

_KEY = re.compile(r"( *)([A-Za-z_][A-Za-z0-9_]*):")
_LONG = 60

_HEAD = """\
<!-- Written by `python -m helm.document`; change values.yaml or helm/document.py, not this page. -->
# The chart omnimatte

Chart {version}, for Kubernetes {kubernetes}. It installs the orchestrators, one Deployment of Triton pods for each model, the
Jobs that bring weights and build engines, and what keeps them apart from everything else in the cluster.

```
helm install omnimatte helm/omnimatte --values helm/omnimatte/values/laptop.yaml
helm test omnimatte
```

| values | for |
|---|---|
| [`values/laptop.yaml`](values/laptop.yaml) | a cluster on one machine without GPUs: compact models, SQLite, everything in one pod |
| [`values/one-gpu.yaml`](values/one-gpu.yaml) | one node with one GPU; PostgreSQL in the cluster, for a trial |
| [`values/production.yaml`](values/production.yaml) | GPU pools: a bucket, an external PostgreSQL, two orchestrators, KEDA, worker Jobs on spot nodes |
| [`values/air-gapped.yaml`](values/air-gapped.yaml) | no way out: an own registry, weights from a claim that somebody has filled |

The bare chart refuses to be installed, and says what it lacks: a store, a database, a certificate. So it does with values
that do not go together (`templates/_validate.tpl`), all reasons at once; `values.schema.json` has the types.

Secrets are made beforehand and named in the values; none is ever written by the chart:

| value | keys of the secret |
|---|---|
| `database.external.secret` | `url`: `postgresql+psycopg://user:password@host/name?sslmode=verify-full` |
| `store.s3.secret` | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` |
| `tls.secret` | `tls.crt`, `tls.key`, `ca.crt` (for `helm test`) |
| `tls.clientCa.secret` | `ca.crt` |
| `orchestrator.jwtKeys.secret` | `jwks.json` |
| `database.trial.secret` | `password` |
| `weights.tokenSecret.name` | `token` |

## Features

| what | where |
|---|---|
"""

_FEATURES = (
    ("Orchestrators with lasting names, taken up again after a crash", "templates/orchestrator.yaml"),
    ("One Deployment and headless Service per model group, GPU or MIG slice of its own", "templates/models.yaml"),
    ("Node selector, tolerations, affinity, runtime class, replicas per group", "templates/_helpers.tpl"),
    ("Worker pod template for per-object Jobs and batch jobs", "templates/_config.tpl"),
    ("PostgreSQL external; one pod of it for trials; SQLite for one replica", "templates/postgres.yaml"),
    ("Store in a bucket or on a claim", "templates/storage.yaml"),
    ("Weights Job: SHA-256 checked, then a read-only volume and offline pods", "templates/weights.yaml"),
    ("TensorRT engines built on each kind of GPU, kept on a volume", "templates/engines.yaml"),
    ("Settings one to one with the program's own dataclasses", "templates/configmap.yaml"),
    ("Non-root, read-only root, no capabilities, seccomp", "templates/_helpers.tpl"),
    ("No service-account token but where Jobs are made; rights for Jobs in one namespace", "templates/accounts.yaml"),
    ("Everything denied in the network but a few openings", "templates/networkpolicy.yaml"),
    ("Secrets by reference", "templates/orchestrator.yaml"),
    ("TLS to the orchestrators; certificates by cert-manager, or your own", "templates/certificate.yaml"),
    ("Mutual TLS between orchestrators and model pods", "templates/models.yaml"),
    ("PodDisruptionBudgets, topology spread", "templates/models.yaml"),
    ("Priority classes for service and batch", "templates/accounts.yaml"),
    ("Startup, liveness and readiness probes that differ on purpose", "templates/models.yaml"),
    ("A model's process that died ends the pod, although Triton calls itself ready", "files/scripts/alive.py"),
    ("preStop, grace longer than a step, sized /dev/shm", "templates/models.yaml"),
    ("A schema for every value", "values.schema.json"),
    ("A sentence for every impossible combination", "templates/_validate.tpl"),
    ("helm test", "templates/tests/serving.yaml"),
    ("Notes after an installation", "templates/NOTES.txt"),
    ("README from the comments", "../document.py"),
    ("Scaling by KEDA or a plain HPA on pending runs and queue age, to zero and back", "templates/autoscaling.yaml"),
    ("Prometheus' adapter for the plain HPA", "files/prometheus-adapter.yaml"),
    ("Each number of the autoscaling explained", "values.yaml"),
    ("Hints to cluster autoscalers (keepNode)", "templates/models.yaml"),
    ("Batch as Jobs that the orchestrator makes, held by a Kueue queue if there is one", "templates/_config.tpl"),
    ("Scraping, rules, alerts, dashboards", "templates/monitoring"),
)

_NOT_HERE = """
Not in it: a ScaledJob of KEDA. It would start pods for a number of waiting jobs, and could not say which job is whose; the
orchestrator makes a Job for the very job whose turn it is, as many at once as its places and Kueue's quota allow.

## Upgrade

`helm upgrade` with the same values. What happens, and in which order:

- **Orchestrators** are replaced one after the other. Each gives its jobs back within a second; others go on from what is done.
  Versions with different database schemas may not run side by side: see the release's notes, and docs/operations.md.
- **Model pods** are replaced group by group. A pod gets no more runs, ends those it has (`drainSeconds`), and goes; what is cut
  off is run again from its checkpoint. Where no GPU is to spare, set `strategy: {maxSurge: 0, maxUnavailable: 1}`.
- **Worker Jobs** that run go on with the version that they began with.
- **Weights and engines** are brought again only if their list, the image or the place has changed: Jobs cannot be changed, so
  their names hold a digest. Files that are there are not fetched again.
- **Claims** of store, weights and engines outlive `helm uninstall`. `helm rollback` changes none of them.
- **Certificates and token keys** are read when a pod starts: `kubectl rollout restart statefulset/...-orchestrator` after a change.
- From SQLite or the trial database to an external PostgreSQL there is no move: let the jobs end, then start on an empty
  database with the same store; what was computed is found again.

| version | what to do |
|---|---|
| 0.1.0 | the first |

## Values
"""


@dataclass(frozen=True)
class Described:
    """A value of the chart. path: its keys. text: what its comment says."""

    path: tuple[str, ...]
    text: str


def described(source: str) -> list[Described]:
    """Every value in `source` that has a comment for people, in order."""
    found: list[Described] = []
    above: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in source.splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            text = stripped.lstrip("#").strip()
            if text.startswith("--"):
                comment = [text.removeprefix("--").strip()]
            elif comment:
                comment.append(text)
            continue
        key = _KEY.match(line)
        if key is None:
            if not stripped:
                comment = []
            continue
        indent = len(key[1])
        above = [one for one in above if one[0] < indent]
        above.append((indent, key[2]))
        if comment:
            found.append(Described(tuple(name for _, name in above), " ".join(comment)))
        comment = []
    return found


def page() -> str:
    """The whole page."""
    source = (CHART / "values.yaml").read_text("utf-8")
    values = yaml.safe_load(source)
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    kubernetes = str(chart["kubeVersion"]).removesuffix("-0").removeprefix(">=") + " and newer"
    text = _HEAD.format(version=chart["version"], kubernetes=kubernetes)
    text += "".join(f"| {what} | [`{where}`]({where}) |\n" for what, where in _FEATURES)
    text += _NOT_HERE
    values_of: dict[str, list[Described]] = {"General": []}
    every = described(source)
    sections = {one.path[0] for one in every if len(one.path) > 1}
    for one in every:
        values_of.setdefault(one.path[0] if one.path[0] in sections else "General", []).append(one)
    for section, members in values_of.items():
        text += f"\n### {section}\n\n| value | default | what |\n|---|---|---|\n"
        for one in members:
            told = one.text.replace("|", "\\|")
            text += f"| `{'.'.join(one.path)}` | {_default(_at(values, one.path))} | {told} |\n"
    return text


def _at(values: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        values = values[key]
    return values


def _default(value: Any) -> str:
    text = json.dumps(value)
    return f"`{text}`" if len(text) <= _LONG else "see values.yaml"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only check that it is up to date")
    parsed = parser.parse_args(arguments)
    wanted = page()
    if not parsed.check:
        PLACE.write_text(wanted, encoding="utf-8")
        return 0
    if not PLACE.exists() or PLACE.read_text(encoding="utf-8") != wanted:
        print(f"{PLACE} is not what the chart's comments say; run: python -m helm.document", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
