"""Many jobs from a manifest: each line has an end of its own, and the same manifest again makes nothing twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import toys
from conftest import Background

from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.cli import main
from orchestrator.client import Client


def manifest(folder: Path, *lines: Any) -> Path:
    for name in ("a.mp4", "b.mp4", "vase.mp4"):
        (folder / name).write_bytes(name.encode())
    (folder / "text.mp4").write_bytes(b"text")
    path = folder / "clips.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return path


def told(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.with_name(f"{path.name}.jobs.jsonl").read_text().splitlines()]


VASE = {"label": "vase", "mask": "vase.mp4"}
BOX = {"label": "cup", "prompts": [{"box": [0, 0, 4, 4]}]}


def test_every_line_has_an_end_of_its_own(background: Background, client: Client, tmp_path: Path) -> None:
    path = manifest(
        tmp_path,
        {"video": "a.mp4", "objects": [VASE]},
        "{broken",
        {"video": "b.mp4", "objects": [VASE, BOX], "options": {"seed": 5}, "priority": 3},
        {"video": "missing.mp4", "objects": [VASE]},
        {"video": "b.mp4", "objects": [{"label": "A B"}]},
        "",
        {"video": "text.mp4", "objects": [VASE]},
    )
    server = ["--server", background.server.address]
    assert main(["batch", str(path), "--out", str(tmp_path / "out"), *server]) == 1
    outcomes = {one["line"]: one for one in told(path)}
    assert {number: one.get("state") or one["reason"] for number, one in outcomes.items()} == {
        1: "SUCCEEDED", 2: "BAD_INPUT", 3: "SUCCEEDED", 4: "NOT_FOUND", 5: "BAD_INPUT", 7: "FAILED",
    }  # fmt: skip
    assert "not a video" in outcomes[7]["error"]
    assert (tmp_path / "out/3/layers/cup/00000.png").exists() and not (tmp_path / "out/7").exists()
    scheduling = client.get(outcomes[3]["job"]).spec.scheduling
    assert getattr(scheduling, "class") == pb.Scheduling.BATCH and scheduling.priority == 3
    before = len(list(client.list()))
    assert main(["batch", str(path), *server]) == 1
    assert {one["line"]: one.get("job") for one in told(path)} == {n: one.get("job") for n, one in outcomes.items()}
    assert len(list(client.list())) == before


def test_a_manifest_without_mistakes_is_queued_at_once(background: Background, client: Client, tmp_path: Path) -> None:
    lines = [{"video": "a.mp4", "objects": [VASE], "options": {"seed": toys.WAITS}} for _ in range(2)]
    path = manifest(tmp_path, *lines)
    assert main(["batch", str(path), "--server", background.server.address]) == 0
    first, second = told(path)
    assert first["job"] == second["job"]  # the same wish twice is one job
    client.cancel(first["job"])


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00"])
def test_what_is_no_manifest_is_refused(background: Background, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m").write_bytes(content)
    assert main(["batch", str(tmp_path / "m"), "--server", background.server.address]) == 2
    assert main(["batch", str(tmp_path / "nothing"), "--server", background.server.address]) == 3
