"""The call `Compose` as a client sees it: a real server on the loopback, toy stages behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import Background

from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.client import Client
from services.artifacts import Store
from services.errors import BadInput, BadOption, Conflict, NotFound, OmnimatteError

Spec = dict[str, Any]


@pytest.fixture
def job(client: Client, spec: Spec) -> str:
    """A succeeded job with the layers "vase" and "cup"."""
    created = client.create_job(spec)
    assert list(client.watch(created.name))[-1].job.state == pb.Job.SUCCEEDED
    return created.name


def test_an_edit_comes_back_as_files_and_tells_how_far_it_is(client: Client, job: str, tmp_path: Path) -> None:
    told: list[pb.StageProgress] = []
    client.compose(job, "layers: {vase: {move: [1, 2]}}", tmp_path / "out", on_progress=told.append)
    assert (tmp_path / "out/composite.mp4").read_bytes() == b"['layers']"
    assert told and told[-1].total == 2 and told[-1].stage == "compose"


def test_asked_again_it_is_found(client: Client, job: str, tmp_path: Path) -> None:
    first, second = [], []
    client.compose(job, "layers: {vase: {opacity: 0.5}}", tmp_path / "a", on_progress=first.append)
    client.compose(job, '{"layers": {"vase": {"opacity": 0.5}}}', tmp_path / "b", on_progress=second.append)
    assert first and not second
    assert (tmp_path / "a/composite.mp4").read_bytes() == (tmp_path / "b/composite.mp4").read_bytes()


def test_layers_of_other_jobs_and_a_background_of_the_users(
    client: Client, job: str, background: Background, tmp_path: Path
) -> None:
    wall = client.upload([b"a picture"], filename="wall.png")["digest"]
    edit = f"{{inserts: [{{from: {job}, layer: cup, as: twin}}], background: {{image: {wall}}}}}"
    client.compose(job, edit, tmp_path / "out")
    text = (tmp_path / "out/composite.mp4").read_text()
    result = Store(background.store).get(client_result(client, job))
    assert text == repr(["background", f"insert/{result.address}", "layers"])


def client_result(client: Client, job: str) -> str:
    return str(client.get(job).result.address)


@pytest.mark.parametrize(
    ("edit", "error", "field"),
    [
        ("layers: {cat: {}}", NotFound, "layers.cat"),
        ("layers: [", BadInput, ""),
        ("layers: {vase: {opacity: 7}}", BadOption, "layers.vase.opacity"),
        ("layers: {vase: {stylise: {command: [sh, '{input}', '{output}']}}}", BadOption, "layers.vase.stylise"),
        ("inserts: [{from: jobs/none, layer: vase, as: b}]", NotFound, "inserts[0].from"),
        ("background: {image: '" + "0" * 64 + "'}", NotFound, "edit.background.digest"),
        ("frames: [0, 3]", BadOption, "frames"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_runs(
    client: Client, job: str, tmp_path: Path, edit: str, error: type[OmnimatteError], field: str
) -> None:
    with pytest.raises(error) as caught:
        client.compose(job, edit, tmp_path / "out")
    assert caught.value.field == field
    assert not (tmp_path / "out").exists()


def test_only_a_job_that_has_succeeded_can_be_edited(client: Client, spec: Spec, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        client.compose("jobs/none", "", tmp_path / "out")
    job = client.create_job({**spec, "options": {"seed": 1000}})
    client.cancel(job.name)
    list(client.watch(job.name))
    with pytest.raises(Conflict):
        client.compose(job.name, "", tmp_path / "out")
