"""The one command, from arguments to tables."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.training.evaluate.toys import scene
from training.data import scenes
from training.evaluate import table
from training.evaluate.__main__ import main
from training.evaluate.score import Score


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    scenes.save(scene(name="a"), tmp_path / "set" / "a.npz")
    scenes.save(scene(name="b"), tmp_path / "set" / "b.npz")
    return tmp_path / "set"


def test_a_folder_of_scenes_gives_a_table_its_numbers_and_a_sheet(
    folder: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = tmp_path / "theirs"
    for name in ("a", "b"):
        (theirs / name / "background").mkdir(parents=True)
        for t, frame in enumerate(scene().background):  # type: ignore[arg-type]
            cv2.imwrite(str(theirs / name / "background" / f"{t}.png"), frame[..., ::-1])
    told, sheet = tmp_path / "out.json", tmp_path / "sheet.png"
    arguments = ["--scenes", folder, "--weights", f"mine={weights}", "--against", f"theirs={theirs}", "--steps", 1]
    assert main([*map(str, arguments), "--json", str(told), "--sheet", str(sheet)]) == 0
    out = capsys.readouterr().out
    header = next(line for line in out.splitlines() if line.startswith("| method"))
    assert [cell.strip() for cell in header.split("|")[2:8]] == [
        "PSNR",
        "SSIM",
        "LPIPS",
        "removed",
        "effect",
        "outside",
    ]
    rows = {line.split("|")[1].strip(): line for line in out.splitlines() if line.startswith("| ")}
    assert {"identity", "telea", "median", "plate", "mine", "theirs"} <= set(rows)
    assert "60.00" in rows["theirs"]
    scores = json.loads(told.read_text())["scores"]
    assert {(s["scene"], s["run"]) for s in scores} == {
        ("a", "background"), ("a", "solo 0"), ("b", "background"), ("b", "solo 1")
    }  # fmt: skip
    drawn = cv2.imread(str(sheet))
    assert drawn is not None and drawn.shape[1] == 9 * 226


def test_two_weights_stand_side_by_side(folder: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ["--weights", f"all={weights}", "--weights", f"without={weights}", "--methods", "all,without"]
    assert main(["--scenes", str(folder), "--steps", "1", *chosen]) == 0
    lines = capsys.readouterr().out.splitlines()
    means = {line.split("|")[1].strip(): line.split("|")[2:9] for line in reversed(lines) if line.startswith("| ")}
    assert means["all"] == means["without"]


def test_table_1_scores_backgrounds_at_native_size(
    published: Path,
    weights: Path,
    upscaler: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ours = ["--weights", f"ours={weights}", "--ssr", str(upscaler), "--steps", "1"]
    assert main(["--table1", str(published), *ours]) == 0
    out = capsys.readouterr().out
    assert "| method   |  PSNR |" in out
    assert "kubric-car" in out and "movie-dog" in out
    assert "solo" not in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scenes", "nowhere"], "nowhere"),
        (["--table1", "nowhere"], "nowhere"),
        (["--methods", "magic"], "magic"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    folder: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if arguments[0] == "--methods":
        arguments = ["--scenes", str(folder), *arguments]
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert words in told.splitlines()[-1] and "Traceback" not in told


def test_weights_of_another_network_are_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    assert main(["--scenes", str(folder), "--weights", f"ours={tmp_path / 'other.safetensors'}"]) == 2
    assert "another network" in capsys.readouterr().err


def _score(method: str, scene_name: str, **values: float | None) -> Score:
    known = dict.fromkeys(("removed", "effect", "outside", "kept"))
    return Score(scene_name, method, "background", "background", {**known, **values})


def test_gains_are_means_over_the_runs_that_both_have() -> None:
    scores = [
        _score("identity", "a", effect=10.0), _score("identity", "b", effect=None),
        _score("ours", "a", effect=25.0, outside=41.0), _score("ours", "b", effect=30.0, outside=43.0),
    ]  # fmt: skip
    gains = {goal.measure: table.reached(scores, "ours", goal) for goal in table.GOALS if goal.over != "median"}
    assert gains == {"effect": 15.0, "removed": None, "outside": 42.0, "kept": None}


def test_tables_are_markdown() -> None:
    text = table.markdown([["method", "PSNR"], ["a", "1.00"], ["longer name", "22.00"]])
    assert text.splitlines()[1] == "| ----------- | ----: |"
    assert len({len(line) for line in text.splitlines()}) == 1
    assert np.all([line.count("|") == 3 for line in text.splitlines()])
