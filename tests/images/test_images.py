"""What images are made of: pinned, not root, nothing from elsewhere, and enough to run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from images import lock
from tests.helm.chart import example, merged, objects

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ("orchestrator", "models")


def instructions(image: str) -> list[tuple[str, str]]:
    """The Dockerfile's instructions and their arguments, continued lines joined."""
    text = (ROOT / f"images/{image}.Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_as_nobody_and_takes_only_files_that_exist(image: str) -> None:
    found = instructions(image)
    users = [rest for word, rest in found if word == "USER"]
    assert users == ["10001:10001"], "the user that the chart's volumes belong to"
    assert not [rest for word, rest in found if word == "ADD"]
    for word, rest in found:
        if word == "COPY" and "--from" not in rest:
            *sources, _ = rest.split()
            assert all((ROOT / source).exists() for source in sources), rest


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_has_two_stages_on_one_base_that_the_release_pins(image: str) -> None:
    found = instructions(image)
    bases = [rest for word, rest in found if word == "ARG" and rest.startswith("BASE=")]
    assert len(bases) == 1 and ":latest" not in bases[0] and ":" in bases[0]
    assert [rest for word, rest in found if word == "FROM"] == ["${BASE} AS build", "${BASE}"]
    release = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
    matrix = {one["image"]: one["base"] for one in release["jobs"]["images"]["strategy"]["matrix"]["include"]}
    assert bases[0] == f"BASE={matrix[image]}"


def test_what_is_copied_is_not_ignored() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for image in IMAGES:
        for word, rest in instructions(image):
            if word == "COPY" and "--from" not in rest:
                for source in rest.split()[:-1]:
                    assert source in kept or f"{Path(source).parent}/*{Path(source).suffix}" in kept, source


@pytest.mark.parametrize("image", IMAGES)
def test_the_locks_are_what_the_requirements_lock_says(image: str) -> None:
    text = (ROOT / f"images/{image}.lock").read_text().split()
    assert text == lock.wanted(image)
    assert set(text) <= set((ROOT / "requirements.lock").read_text().split())


def test_the_control_plane_has_no_torch_and_no_codec() -> None:
    names = {line.partition("==")[0] for line in (ROOT / "images/orchestrator.lock").read_text().split()}
    assert not names & {"torch", "av", "opencv-python-headless", "onnxruntime", "diffusers", "transformers", "zarr"}
    assert {"kubernetes", "dbos", "grpcio-health-checking", "psycopg-binary"} <= names


def test_the_orchestrators_commands_need_only_what_its_image_has() -> None:
    """A module that the image lacks would only be missed in a cluster: here it cannot be imported."""
    program = """
import importlib.metadata as m, pathlib, re, sys

locked = {line.partition("==")[0] for line in pathlib.Path("images/orchestrator.lock").read_text().split()}
plain = lambda name: re.sub(r"[-_.]+", "-", name).lower()
there = {top: {plain(one) for one in owners} for top, owners in m.packages_distributions().items()}
ours = {"omnimatte"}

class Absent:
    def find_spec(self, name, path=None, target=None):
        owners = there.get(name.partition(".")[0])
        if owners and not owners & (locked | ours):
            raise ModuleNotFoundError(f"{name} is not in the image", name=name)

sys.meta_path.insert(0, Absent())
import orchestrator.cli, orchestrator.serve, orchestrator.server, orchestrator.settings_file
import orchestrator.store_cli, orchestrator.weights_cli, orchestrator.access.keys_cli, orchestrator.hygiene
import orchestrator.runners.kubernetes.runner, orchestrator.runners.kubernetes.bundle, dbos, psycopg
import opentelemetry.exporter.otlp.proto.http.trace_exporter
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_the_release_gives_each_job_its_own_few_permissions() -> None:
    release = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
    assert release["permissions"] == {}
    for name, job in release["jobs"].items():
        assert job["permissions"] and "write-all" not in str(job["permissions"]), name
        assert job["timeout-minutes"] <= 120
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", step["uses"]), step["uses"]
            # Nothing that a stranger can choose becomes part of a script.
            assert "${{" not in step.get("run", ""), step


def test_the_trial_is_a_valid_script() -> None:
    subprocess.run(["bash", "-n", str(ROOT / "helm/try/kind.sh")], check=True)


def test_the_trials_values_render() -> None:
    tags = {"orchestrator": {"tag": "try"}, "models": {"tag": "try"}}
    values = merged(
        example("laptop"), {"image": {"registry": "ghcr.io/omnimatte", **tags}, "workers": {"enabled": True}}
    )
    rendered = objects(values)
    kinds = {(one["kind"], one["metadata"]["name"]) for one in rendered}
    script = (ROOT / "helm/try/kind.sh").read_text()
    assert ("Service", "demo-omnimatte") in kinds and "service/demo-omnimatte 18000:8000" in script
    assert ("StatefulSet", "demo-omnimatte-orchestrator") in kinds and "exec demo-omnimatte-orchestrator-0" in script
