"""The published models as a user meets them: the command line, the API, real Triton; tiny random weights."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from orchestrator import cli
from orchestrator.embedded import BackgroundStack
from orchestrator.settings import Home
from services.artifacts import Store
from tests.services.casper import weights as casper
from tests.services.depth.large import tiny as depth
from tests.services.sam21 import tiny as sam2

FRAMES, HEIGHT, WIDTH = 6, 48, 80


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=8)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        ground = rng.integers(60, 200, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        for t in range(FRAMES):
            frame = ground.copy()
            frame[10:30, 5 + 4 * t : 25 + 4 * t] = (220, 60, 40)
            frame[25:45, 60 - 4 * t : 75 - 4 * t] = (40, 60, 220)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("home"))
    for name in ("cogvideox", "wan-1.3b"):
        casper.write(home.weights, name)
    sam2.published(home.weights, "sam2.1-large")
    depth.write_crafter(home.weights)
    return home


@pytest.fixture(scope="module")
def server(home: Home) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OMNIMATTE_WEIGHTS", raising=False)
        with BackgroundStack(home, profile="production") as stack:
            yield stack.address


def _decompose(clip: Path, out: Path, server: str, *more: str) -> dict[str, Any]:
    objects = ("--box", "red:5,10,25,30", "--box", "blue:60,25,75,45")
    small = ("--casper-size", "64x96", "--tier", "draft", "--steps", "2", "--long-side", "80", "--schedule", "draft")
    assert cli.main(["decompose", str(clip), *objects, "--out", str(out), "--server", server, *small, *more]) == 0
    return dict(json.loads((out / "layers.json").read_text()))


def test_the_services_own_profile_runs_the_whole_chain(clip: Path, home: Home, server: str, tmp_path: Path) -> None:
    told = _decompose(clip, tmp_path / "out", server)
    assert told["profile"] == "production" and told["frames"] == FRAMES
    assert told["job"]["models"] == {"casper": "cogvideox", "sam2": "sam2.1-large", "depth": "depthcrafter"}
    assert [layer["label"] for layer in told["layers"]] == ["red", "blue"]
    made = {(row["stage"], row["subject"]): row["address"] for row in told["timings"]}
    assert {("casper", "background, blue, red"), ("sam2", "whole red"), ("sam2", "whole blue")} <= set(made)
    solo = Store(home.store).get(f"{made['casper', 'background, blue, red']}/red").array("frames")
    assert solo.shape == (FRAMES, 64, 96, 3) and np.isfinite(solo[:]).all()


def test_one_other_model_and_a_request_for_each_run(clip: Path, server: str, tmp_path: Path) -> None:
    more = ("--model", "casper=wan-1.3b", "--image-context", "zeros", "--runs-together", "1")
    told = _decompose(clip, tmp_path / "out", server, *more)
    assert told["job"]["models"]["casper"] == "wan-1.3b"
    subjects = [row["subject"] for row in told["timings"] if row["stage"] == "casper"]
    assert sorted(subjects) == ["background", "blue", "red"]


def test_a_model_whose_weights_are_not_here_names_the_command(
    clip: Path, server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["decompose", str(clip), "--box", "red:5,10,25,30", "--out", str(tmp_path / "out"), "--server", server]
    assert cli.main([*arguments, "--model", "depth=depth-anything-v2-small"]) == 3
    assert "`omnimatte weights pull depth-anything-v2-small`" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_size_that_no_network_takes_is_refused_before_anything_runs(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["decompose", str(clip), "--box", "red:5,10,25,30", "--out", str(tmp_path / "out")]
    assert cli.main([*arguments, "--profile", "production", "--casper-size", "380x672"]) == 2
    assert "380x672 is not a multiple of 16; use 384x672" in capsys.readouterr().err
