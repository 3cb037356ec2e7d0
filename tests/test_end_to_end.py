"""The whole service as a user meets it: the command line, the API, real Triton with all its models."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import Interpolation

FRAMES, HEIGHT, WIDTH = 9, 98, 162
RATE = Fraction(24000, 1001)
# Without these FFmpeg repeats chroma samples, which alone costs 30 dB at coloured edges.
_EXACT = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)


def _write(path: Path, frames: np.ndarray, *, audio: bool = False) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        stream.options = {"crf": "6"}
        sound = out.add_stream("aac", rate=48000, layout="mono") if audio else None
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())
        if sound is not None:
            tone = np.sin(np.arange(18_000) / 20).astype(np.float32)[None] * 0.2
            piece = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            piece.sample_rate, piece.pts = 48000, 0
            out.mux(sound.encode(piece))
            out.mux(sound.encode())
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small clip of an odd shape with sound, two moving objects with shadows, and their masks."""
    folder = tmp_path_factory.mktemp("clip")
    rng = np.random.default_rng(0)
    ground = cv2.resize(
        rng.integers(60, 200, (20, 32, 3), np.uint8), (WIDTH + 30, HEIGHT), interpolation=cv2.INTER_CUBIC
    )
    video, masks = [], {"disc": [], "box": []}
    for t in range(FRAMES):
        frame = ground[:, t : t + WIDTH].astype(np.float32)
        disc, box = np.zeros((HEIGHT, WIDTH), np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8)
        cv2.circle(disc, (40 + 4 * t, 45), 14, 255, -1)
        cv2.rectangle(box, (110 - 3 * t, 40), (130 - 3 * t, 75), 255, -1)
        for mask, colour in ((disc, (230, 120, 30)), (box, (40, 60, 220))):
            shadow = cv2.GaussianBlur(np.roll(mask, (12, 10), (0, 1)), (0, 0), 2)[..., None] / 255
            frame = np.where(mask[..., None] > 0, np.array(colour, np.float32), frame * (1 - 0.4 * shadow))
        disc[box > 0] = 0
        video.append(frame.astype(np.uint8))
        masks["disc"].append(disc)
        masks["box"].append(box)
    paths = {"video": _write(folder / "clip.mp4", np.stack(video), audio=True)}
    for label, frames in masks.items():
        paths[label] = _write(folder / f"{label}.mp4", np.stack(frames)[..., None].repeat(3, -1))
    images = folder / "images"
    images.mkdir()
    for t, mask in enumerate(masks["disc"]):
        cv2.imwrite(str(images / f"{t + 1}.png"), mask)
    return {**paths, "images": images}


def _omnimatte(*arguments: object, timeout: float = 280) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "orchestrator.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`omnimatte up` in a process of its own; gives HOST:PORT."""
    home = tmp_path_factory.mktemp("home")
    ports = ["--port", "0", "--metrics-port", "0", "--files-port", "0"]
    command = [sys.executable, "-u", "-m", "orchestrator.cli", "up", *ports]
    process = subprocess.Popen(
        [*command, "--home", str(home)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        found = re.search(r"(127\.0\.0\.1:\d+)", line)
        if found and "API" in line:
            break
    else:
        pytest.fail("the stack did not start:\n" + "".join(lines))
    yield found[1]
    process.send_signal(signal.SIGINT)
    assert process.wait(60) in (0, 130)


@pytest.fixture(scope="module")
def result(server: str, clip: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("results") / "out"
    done = _omnimatte(
        "decompose", clip["video"], "--mask", clip["images"].parent / "disc.mp4", "--mask", clip["box"],
        "--out", out, "--server", server, "--schedule", "draft", "--steps", 1,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out


def test_two_masks_give_a_background_and_two_layers_of_the_clips_own_size(result: Path) -> None:
    told = json.loads((result / "layers.json").read_text())
    assert told["frames"] == FRAMES
    assert told["fps"] == "24000/1001"
    assert (told["height"], told["width"]) == (HEIGHT, WIDTH)
    assert told["recomposition"]["psnr_db"] >= 32
    assert {layer["label"] for layer in told["layers"]} == {"disc", "box"}
    for folder, channels in (("background", 3), ("layers/disc", 4), ("layers/box", 4)):
        files = sorted((result / folder).glob("*.png"))
        assert [f.name for f in files] == [f"{i:05d}.png" for i in range(FRAMES)]
        assert cv2.imread(str(files[0]), cv2.IMREAD_UNCHANGED).shape == (HEIGHT, WIDTH, channels)


def test_the_layers_recompose_to_the_input(result: Path, clip: dict[str, Path]) -> None:
    told = json.loads((result / "layers.json").read_text())
    with av.open(str(clip["video"])) as container:
        frames = [f.to_ndarray(format="rgb24", interpolation=_EXACT) for f in container.decode(video=0)]
    errors = []
    for i, frame in enumerate(frames):
        canvas = _png(result / f"background/{i:05d}.png")[..., :3]
        for label in reversed(told["order"][i]):
            layer = _png(result / f"layers/{label}/{i:05d}.png")
            canvas = layer[..., :3] * layer[..., 3:] + canvas * (1 - layer[..., 3:])
        errors.append(np.square(canvas - frame / 255.0).mean())
    assert -10 * np.log10(np.mean(errors)) >= 31


def _png(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.float32) / 255
    return image[..., [2, 1, 0, *range(3, image.shape[-1])]]


def test_sound_comes_through(result: Path) -> None:
    sounds = [p for p in result.iterdir() if p.name.startswith("audio.")]
    assert len(sounds) == 1
    with av.open(str(sounds[0])) as container:
        assert container.streams.audio[0].codec_context.name == "aac"


def test_the_page_needs_no_server(result: Path) -> None:
    page = (result / "index.html").read_text()
    assert "disc" in page and "box" in page
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page)


def test_a_folder_of_images_a_prompt_and_the_store_make_a_second_job_cheap(
    server: str, clip: dict[str, Path], tmp_path: Path, result: Path
) -> None:
    done = _omnimatte(
        "decompose", clip["video"], "--mask", f"disc={clip['images']}", "--box", "box:108,38,132,77@0",
        "--out", tmp_path / "out", "--server", server, "--schedule", "draft", "--steps", 1, "--format", "webm",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/background.webm").exists()
    with av.open(str(tmp_path / "out/layers/box.webm")) as container:
        assert container.streams.video[0].frames in (0, FRAMES)


def test_an_edit_is_rendered_by_the_server(server: str, result: Path, tmp_path: Path) -> None:
    listed = _omnimatte("jobs", "list", "--server", server).stdout.splitlines()
    job = next(line.split()[0] for line in reversed(listed) if "SUCCEEDED" in line)
    (tmp_path / "edit.yaml").write_text("{layers: {disc: {remove: true}}, output: {format: png}}")
    done = _omnimatte("jobs", "compose", job, tmp_path / "edit.yaml", "--out", tmp_path / "out", "--server", server)
    assert done.returncode == 0, done.stderr
    made = _png(tmp_path / "out/composite/00004.png")
    plate, box = _png(result / "background/00004.png"), _png(result / "layers/box/00004.png")
    expected = box[..., :3] * box[..., 3:] + plate[..., :3] * (1 - box[..., 3:])
    assert np.abs(made[..., :3] - expected).max() <= 1.01 / 255


def test_a_region_of_a_large_frame_is_worked_on_and_put_back(
    server: str, clip: dict[str, Path], tmp_path: Path
) -> None:
    done = _omnimatte(
        "decompose", clip["video"], "--mask", clip["images"].parent / "disc.mp4", "--out", tmp_path / "out",
        "--server", server, "--schedule", "draft", "--region", "objects", "--long-side", 64,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "out/layers.json").read_text())
    assert (told["height"], told["width"]) == (HEIGHT, WIDTH)
    assert "region" in {row["stage"] for row in told["timings"]} and told["recomposition"]["psnr_db"] > 30


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([("not-a-video.txt", b"hello"), "--box", "a:0,0,10,10"], ["not-a-video.txt"]),
        ([("empty.mp4", b""), "--box", "a:0,0,10,10"], ["empty.mp4"]),
        (["video", "--box", f"a:0,0,{WIDTH + 50},10"], ["a", "outside"]),
        (["video", "--box", "a:1,1,20,20", "--box", "a:30,30,50,50@0", "--mask", "a=disc"], ["a"]),
        (["video", "--mask", ("other-size.png", (64, 64))], ["other-size", "64"]),
        (["video", "--mask", ("nothing.png", (HEIGHT, WIDTH))], ["nothing"]),
    ],
    ids=["text", "empty", "box-outside", "label-twice", "mask-size", "mask-without-pixels"],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    server: str, clip: dict[str, Path], tmp_path: Path, arguments: list[object], words: list[str]
) -> None:
    given = [_given(argument, clip, tmp_path) for argument in arguments]
    done = _omnimatte("decompose", *given, "--out", tmp_path / "out", "--server", server)
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("omnimatte: ")
    assert all(word in last for word in words), last
    assert "Traceback" not in done.stderr
    assert not [p for p in tmp_path.iterdir() if p.name.startswith((".out", "out"))]


def _given(argument: object, clip: dict[str, Path], folder: Path) -> object:
    if isinstance(argument, tuple):
        name, content = argument
        path = folder / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            cv2.imwrite(str(path), np.zeros(content, np.uint8))
        return path
    if isinstance(argument, str) and argument.startswith("a=") and argument[2:] in clip:
        return f"a={clip[argument[2:]]}"
    return clip.get(argument, argument) if isinstance(argument, str) else argument


def test_a_mask_of_another_length_is_refused(server: str, clip: dict[str, Path], tmp_path: Path) -> None:
    short = _write(tmp_path / "short.mp4", np.full((4, HEIGHT, WIDTH, 3), 255, np.uint8))
    done = _omnimatte("decompose", clip["video"], "--mask", short, "--out", tmp_path / "out", "--server", server)
    assert done.returncode == 2
    assert "4" in done.stderr and str(FRAMES) in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_truncated_video_is_refused(server: str, clip: dict[str, Path], tmp_path: Path) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(clip["video"].read_bytes()[: clip["video"].stat().st_size // 2])
    done = _omnimatte("decompose", cut, "--box", "a:0,0,10,10", "--out", tmp_path / "out", "--server", server)
    assert done.returncode == 2
    assert "cut.mp4" in done.stderr
    assert not (tmp_path / "out").exists()
