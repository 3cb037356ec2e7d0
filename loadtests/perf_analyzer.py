"""python -m loadtests.perf_analyzer STORE OUT: input data for NVIDIA's perf_analyzer, from jobs that have been done.

For each stage whose artifacts lie in STORE, OUT/<stage>.json holds the requests that made them, and the command line is
printed. A request whose artifact is there is answered at once, so to measure computing, `--forget STAGE` removes that
stage's artifacts first: use a store made for the purpose (python -m loadtests run embedded leaves one).

perf_analyzer comes with NVIDIA's SDK container (tritonserver:YY.MM-py3-sdk) and is not needed for anything else here.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from services.artifacts import Manifest, Store
from services.errors import BadOption, OmnimatteError
from services.registry import STAGES
from services.stage import Request


def requests_of(manifests: Iterable[Manifest]) -> dict[str, list[Request]]:
    """The requests that made them, by stage; uploads were made by nobody."""
    found: dict[str, list[Request]] = defaultdict(list)
    for one in manifests:
        if one.stage in STAGES:
            made = Request(stage=one.stage, params=one.request["params"], inputs=one.request["inputs"], subject="perf")
            found[one.stage].append(made)
    return found


def input_data(requests: Iterable[Request]) -> dict[str, Any]:
    """What `perf_analyzer --input-data` reads: the one tensor `request`, UINT8 [N], for each request."""
    texts = [request.to_json().encode() for request in requests]
    return {"data": [{"request": {"content": list(text), "shape": [len(text)]}} for text in texts]}


def command(stage: str, path: Path, count: int) -> str:
    """The command line that sends each request once, one after the other."""
    return (
        f"perf_analyzer -m {stage} -u localhost:8001 -i grpc --streaming --input-data {path} "
        f"--concurrency-range 1 --request-count {count} --verbose-csv -f {stage}.csv"
    )


def manifests(store: Store) -> Iterable[Manifest]:
    """Of every finished artifact."""
    for shard in store.folders():
        for path, _, _ in store.listed(shard):
            if path.endswith("/manifest.json"):
                found = store.find(path.split("/")[1])
                if found is not None:
                    yield found.manifest


def written(store: Store, out: Path, *, forget: str) -> Mapping[str, int]:
    """Writes the files; how many requests each stage has."""
    known = list(manifests(store))
    found = requests_of(known)
    if not found:
        raise BadOption(f"{store.url} holds no stage's artifact; run some jobs on it first.")
    out.mkdir(parents=True, exist_ok=True)
    for stage, requests in sorted(found.items()):
        (out / f"{stage}.json").write_text(json.dumps(input_data(requests)))
    for one in known:
        if one.stage == forget:
            store.delete(one.address)
    return {stage: len(requests) for stage, requests in sorted(found.items())}


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", help="folder, or s3://bucket/prefix")
    parser.add_argument("out", type=Path)
    parser.add_argument("--forget", default="", choices=["", *STAGES], help="remove this stage's artifacts")
    asked = parser.parse_args()
    try:
        for stage, count in written(Store(asked.store), asked.out, forget=asked.forget).items():
            print(command(stage, asked.out / f"{stage}.json", count))
    except OmnimatteError as error:
        print(f"perf_analyzer: {error.message}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
