"""The control plane touches no frame: it must not even import what could."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.api.generate import stale

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "cv2", "av", "zarr", "onnxruntime", "scipy"}
# What the client needs must also come without the server's machinery.
SERVERS = {"dbos", "sqlalchemy", "numpy", "tritonclient", "rich", "prometheus_client"}


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("orchestrator.client", HEAVY | SERVERS),
        ("orchestrator.cli", HEAVY | SERVERS | {"grpc"}),
        ("orchestrator.plan", HEAVY | SERVERS | {"grpc"}),
        ("orchestrator.server", HEAVY),
        ("orchestrator.embedded", HEAVY),
        ("orchestrator.up", HEAVY),
        ("orchestrator.decompose", HEAVY),
    ],
)
def test_a_module_imports_nothing_heavy(module: str, unwanted: set[str]) -> None:
    code = f"import sys, {module}; print(' '.join(name for name in {sorted(unwanted)} if name in sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == []


def test_the_committed_api_code_is_what_its_definition_gives() -> None:
    assert stale(ROOT / "orchestrator" / "api") == []
