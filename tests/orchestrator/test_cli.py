"""The command line: what it understands, and how it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import toys
from conftest import Background

from orchestrator import cli
from orchestrator.wishes import ObjectWish, label_of, mask_wish, merged
from services.errors import BadInput, BadOption, BadPrompt

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    (tmp_path / "clip.mp4").write_bytes(b"video")
    (tmp_path / "vase.mp4").write_bytes(b"vase")
    (tmp_path / "cup.mp4").write_bytes(b"cup")
    return tmp_path / "clip.mp4"


def objects(*arguments: str) -> list[ObjectWish]:
    parsed = cli.parser().parse_args(["decompose", "clip.mp4", "--out", "out", *arguments])
    return merged(parsed.objects, without_layer=parsed.no_layer)


def test_objects_keep_the_order_of_the_command_line() -> None:
    wishes = objects("--box", "cup:1,2,30,40@5", "--mask", "vase.mp4", "--point", "cup:7,8", "--not-point", "cup:9,9@2")
    assert [wish.label for wish in wishes] == ["cup", "vase"]
    assert wishes[0].prompts == (
        {"frame": 5, "box": [1, 2, 30, 40]},
        {"frame": 0, "point": [7, 8], "positive": True},
        {"frame": 2, "point": [9, 9], "positive": False},
    )
    assert wishes[1].mask == Path("vase.mp4")


def test_masks_are_labelled_after_their_files_or_as_told(tmp_path: Path) -> None:
    assert mask_wish("/a/Left Vase.mp4") == ObjectWish("left-vase", Path("/a/Left Vase.mp4"))
    assert mask_wish("vase=/a/m=1.mp4") == ObjectWish("vase", Path("/a/m=1.mp4"))
    (tmp_path / "mask.v1").mkdir()
    assert label_of(tmp_path / "mask.v1") == "mask-v1"
    assert label_of(Path("x" * 60 + ".mp4")) == "x" * 40
    with pytest.raises(BadInput, match="LABEL="):
        label_of(Path("---.mp4"))


def test_one_label_for_two_masks_is_refused() -> None:
    with pytest.raises(BadInput, match="overlapping labels"):
        objects("--mask", "a/vase.mp4", "--mask", "b/vase.mp4")
    with pytest.raises(BadInput, match="overlapping labels"):
        objects("--mask", "vase.mp4", "--box", "vase:1,2,3,4")


def test_an_occluder_has_no_layer() -> None:
    wishes = objects("--mask", "vase.mp4", "--mask", "fence.mp4", "--no-layer", "fence")
    assert [wish.layer for wish in wishes] == [True, False]
    with pytest.raises(BadOption, match="no object is called that"):
        objects("--mask", "vase.mp4", "--no-layer", "fnce")


@pytest.mark.parametrize("text", ["cup", "cup:1,2,3", "cup:1,2,3,x", "cup:1,2,3,4@x", "cup:1,2,3,4@-1"])
def test_boxes_that_are_not_understood_are_refused(text: str) -> None:
    with pytest.raises(BadPrompt, match="LABEL:x0,y0,x1,y1"):
        objects("--box", text)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 2, "--help"),
        (["decompose"], 2, "VIDEO"),
        (["decompose", "clip.mp4", "--out", "out"], 2, "--mask, --box or --point"),
        (["decompose", "no.mp4", "--mask", "vase.mp4", "--out", "out"], 2, "no.mp4 is not there"),
        (["decompose", "empty.mp4", "--mask", "vase.mp4", "--out", "out"], 2, "empty.mp4 is empty"),
        (["decompose", "clip.mp4", "--mask", "no.mp4", "--out", "out"], 2, "no.mp4 is not there"),
        (["decompose", "clip.mp4", "--mask", "full", "--out", "out"], 2, "has no images"),
        (["decompose", "clip.mp4", "--mask", "background=vase.mp4", "--out", "out"], 2, "reserved"),
        (["decompose", "clip.mp4", "--mask", "vase.mp4", "--out", "full"], 2, "--force"),
        (["decompose", "clip.mp4", "--mask", "vase.mp4", "--out", "out", "--format", "gif"], 2, "gif"),
        (["decompose", "clip.mp4", "--mask", "vase.mp4", "--out", "out", "--steps", "1000"], 2, "from 1 to 100"),
        (["decompose", "clip.mp4", "--box", "a:5,5,1,1", "--out", "out"], 2, "empty"),
        (["decompose", "clip.mp4", "--mask", "vase.mp4", "--out", "out", "--server", "127.0.0.1:1"], 5, "127.0.0.1:1"),
        (["decompose", "clip.mp4", "--mask", "vase.mp4", "--out", "out", "--home", "clip.mp4"], 2, "--home"),
        (["up", "--port", "99999"], 2, "99999"),
        (["jobs", "get", "x", "--server", "127.0.0.1:1"], 5, "does not answer"),
    ],
)
def test_every_mistake_is_one_line_and_leaves_nothing(
    clip: Path, arguments: list[str], status: int, words: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(clip.parent)
    Path("empty.mp4").touch()
    Path("full").mkdir()
    Path("full/mine.txt").write_text("mine")
    before = sorted(Path().rglob("*"))
    assert cli.main(arguments) == status
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("omnimatte: ") and words in last
    assert sorted(Path().rglob("*")) == before


def test_a_clip_is_decomposed_on_a_server(
    clip: Path, background: Background, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["decompose", str(clip), "--server", background.server.address]
    arguments += ["--mask", str(clip.with_name("vase.mp4")), "--mask", f"tea={clip.with_name('cup.mp4')}"]
    out = clip.with_name("out")
    assert cli.main([*arguments, "--out", str(out), "--seed", "5"]) == 0
    captured = capsys.readouterr()
    assert captured.out.strip() == str(out / "index.html")
    assert "casper/tea: done" in captured.err and "40.0 dB" in captured.err
    assert sorted(path.name for path in (out / "layers").iterdir()) == ["tea", "vase"]

    (out / "layers" / "old.txt").touch()
    assert cli.main([*arguments, "--out", str(out)]) == 2
    assert cli.main([*arguments, "--out", str(out), "--force"]) == 0
    assert not (out / "layers" / "old.txt").exists()
    assert sorted(path.name for path in clip.parent.iterdir()) == ["clip.mp4", "cup.mp4", "out", "vase.mp4"]


def test_a_job_that_fails_leaves_what_was_there(
    clip: Path, background: Background, capsys: pytest.CaptureFixture[str]
) -> None:
    out = clip.with_name("out")
    out.mkdir()
    (out / "mine.txt").touch()
    arguments = ["decompose", str(clip), "--mask", str(clip.with_name("vase.mp4")), "--out", str(out), "--force"]
    arguments += ["--server", background.server.address, "--seed", str(toys.FAILS)]
    assert cli.main(arguments) == 2
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("omnimatte: the clip is too strange")
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_jobs_are_looked_after(clip: Path, background: Background, capsys: pytest.CaptureFixture[str]) -> None:
    server = ["--server", background.server.address]
    arguments = ["decompose", str(clip), "--mask", str(clip.with_name("vase.mp4")), "--out", str(clip.with_name("o"))]
    assert cli.main([*arguments, *server, "--seed", "6"]) == 0
    capsys.readouterr()
    assert cli.main(["jobs", "list", *server]) == 0
    line = capsys.readouterr().out.splitlines()[0]
    assert "SUCCEEDED" in line and "clip.mp4" in line and "vase" in line
    name = line.split()[0]
    assert cli.main(["jobs", "get", name, *server]) == 0
    assert '"state": "SUCCEEDED"' in capsys.readouterr().out
    assert cli.main(["jobs", "download", name, "--out", str(clip.with_name("again")), *server]) == 0
    assert (clip.with_name("again") / "index.html").exists()
    edit = clip.with_name("edit.yaml")
    edit.write_text("layers: {vase: {opacity: 0.5}}")
    assert cli.main(["jobs", "compose", name, str(edit), "--out", str(clip.with_name("edited")), *server]) == 0
    assert (clip.with_name("edited") / "composite.mp4").exists()
    edit.write_text("layers: {cat: {}}")
    assert cli.main(["jobs", "compose", name, str(edit), "--out", str(clip.with_name("no")), *server]) == 3
    assert "no layer 'cat'" in capsys.readouterr().err
    assert cli.main(["jobs", "cancel", name, *server]) == 3
    assert cli.main(["jobs", "delete", name.removeprefix("jobs/"), *server]) == 0
    assert cli.main(["jobs", "get", name, *server]) == 3


def test_what_a_command_needs_beyond_the_client_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "services.compose.main", None)
    monkeypatch.setitem(sys.modules, "ui.server", None)
    assert cli.main(["compose", "edit.yaml", "--out", str(tmp_path / "out.mp4")]) == 2
    assert "pip install 'omnimatte[stages]'" in capsys.readouterr().err
    assert cli.main(["ui"]) == 2
    assert "pip install 'omnimatte[ui]'" in capsys.readouterr().err


def test_ctrl_c_cancels_the_job(clip: Path, background: Background) -> None:
    import signal

    # A test run in a shell's background inherits an ignored SIGINT, and would hand it on. Not through preexec_fn: that
    # forks this process, in which gRPC runs.
    program = (
        "import signal, sys; from orchestrator import cli; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(cli.main())"
    )
    arguments = ["decompose", str(clip), "--mask", str(clip.with_name("vase.mp4")), "--out", str(clip.with_name("out"))]
    arguments += ["--server", background.server.address, "--seed", str(toys.WAITS)]
    process = subprocess.Popen([sys.executable, "-c", program, *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said: list[str] = []
    while not any("casper/background" in line for line in said):
        said.append(process.stderr.readline())
        assert said[-1], said
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait(60) == 130
    process.stderr.close()
    assert "omnimatte: stopped" in rest.splitlines()[-1]
    assert "Traceback" not in rest
    assert cli.main(["jobs", "list", "--server", background.server.address]) == 0
    assert not clip.with_name("out").exists()
