"""Edits of a clip whose layers are known: what is seen afterwards is what was asked for."""

import json
import shutil
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import OpenEXR
import pytest
import yaml

from services.compose.main import compose
from services.errors import BadInput, BadOption, NotFound, OmnimatteError
from tests.services import layered_hevc
from tests.services.finish.scene import make_job, make_scene

FRAMES, HEIGHT, WIDTH = 8, 48, 80


@pytest.fixture(scope="module")
def scene():
    return make_scene(FRAMES, HEIGHT, WIDTH, swap=5)


@pytest.fixture(scope="module")
def deliveries(tmp_path_factory, scene) -> Path:
    """Folders "png", "exr", "prores", "webm", "hevc": the same clip, delivered in each format."""
    root = tmp_path_factory.mktemp("deliveries")
    job = make_job(root / "job", scene, audio="aac")
    for name in ("png", "exr", "prores", "webm", "hevc"):
        done = job.finish(formats=[name], delivery={"start_frame": 1001})
        for path in done.manifest.files:
            target = root / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(done.read(path))
    return root


@pytest.fixture
def render(deliveries, tmp_path):
    """Renders an edit of the PNG delivery, or of `source`, to PNGs [T, H, W, C]."""

    def run(edit: dict, *, source: str = "png", name: str = "out") -> np.ndarray:
        file = tmp_path / f"{name}.yaml"
        file.write_text(yaml.safe_dump({"output": {"format": "png"}} | edit))
        compose(file, tmp_path / name, source=deliveries / source, quiet=True)
        return np.stack([read(path) for path in sorted((tmp_path / name).iterdir())])

    return run


def read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB)


def layer(deliveries: Path, label: str, frame: int) -> np.ndarray:
    return read(deliveries / f"png/layers/{label}/{1001 + frame:05d}.png")


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


@pytest.mark.parametrize(("source", "least"), [("png", 45), ("exr", 45), ("prores", 40), ("webm", 33), ("hevc", 33)])
def test_the_empty_edit_is_the_clip(render, scene, source, least):
    assert psnr(render({}, source=source), scene.clip) >= least


def test_it_is_what_finish_measured(render, scene, deliveries):
    told = json.loads((deliveries / "png/layers.json").read_text())["recomposition"]["psnr_db"]
    assert psnr(render({}), scene.clip) == pytest.approx(told, abs=0.02)


def test_the_same_edit_gives_the_same_bytes(render, tmp_path):
    edit = {"layers": {"cup": {"move": [3.5, 1], "rotate": 20, "blur": 1}}}
    assert np.array_equal(render(edit, name="a"), render(edit, name="b"))


def test_removed_layers_are_gone(render, deliveries):
    picture = render({"layers": {"ball": {"remove": True}, "cup": {"remove": True}}})
    plates = [read(deliveries / f"png/background/{1001 + t:05d}.png") for t in range(FRAMES)]
    assert np.array_equal(picture, np.stack(plates))


def alone(change: dict) -> dict:
    """An edit that shows "ball" alone, changed, with its alpha."""
    return {
        "layers": {"ball": change, "cup": {"remove": True}},
        "background": "none",
        "output": {"format": "png", "alpha": True},
    }


def test_a_layer_alone_is_the_layer(render, deliveries):
    picture = render(alone({}))
    for t in range(FRAMES):
        original = layer(deliveries, "ball", t)
        assert np.abs(picture[t].astype(int) - original).max() <= 1


def test_whole_pixels_move_bit_exactly_and_out_of_the_picture(render, deliveries):
    picture = render(alone({"move": [7, -3]}))
    original = layer(deliveries, "ball", 2)
    assert np.abs(picture[2][: HEIGHT - 3, 7:].astype(int) - original[3:, : WIDTH - 7]).max() <= 1
    assert not render(alone({"move": [500, 0]}), name="gone").any()


def centre(alpha: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[: alpha.shape[0], : alpha.shape[1]] + 0.5
    return np.array([(x * alpha).sum(), (y * alpha).sum()]) / alpha.sum()


def test_keyframes_move_a_layer_by_what_they_say(render, deliveries):
    keys = [{"frame": 0, "value": [0, 0]}, {"frame": 7, "value": [10.5, 3.5]}]
    picture = render(alone({"move": keys}))
    for t in (0, 3, 7):
        moved = centre(picture[t][..., 3]) - centre(layer(deliveries, "ball", t)[..., 3])
        assert moved == pytest.approx(np.array([10.5, 3.5]) * t / 7, abs=0.15)


@pytest.mark.parametrize("scale", [0.2, 0.5, 1.7])
def test_scaling_keeps_the_anchor_and_changes_the_area(render, deliveries, scale):
    anchor = centre(layer(deliveries, "ball", 0)[..., 3])
    picture = render(alone({"scale": scale, "anchor": [float(v) for v in anchor]}))
    before, after = layer(deliveries, "ball", 0)[..., 3] / 255, picture[0][..., 3] / 255
    assert after.sum() / before.sum() == pytest.approx(scale**2, rel=0.1)
    assert centre(after) == pytest.approx(centre(before), abs=0.6)


def test_a_whole_turn_is_no_turn_and_half_a_turn_is_upside_down(render, deliveries):
    original = layer(deliveries, "ball", 0)
    assert np.array_equal(render(alone({"rotate": 360}), name="whole"), render(alone({}), name="none"))
    height, width = original.shape[:2]
    turned = render(alone({"rotate": 180, "anchor": [width / 2, height / 2]}), name="half")[0]
    assert np.abs(turned[..., 3].astype(int) - original[::-1, ::-1, 3]).max() <= 2


def test_clockwise_is_clockwise(render, deliveries):
    original = layer(deliveries, "ball", 0)
    x, y = centre(original[..., 3])
    picture = render(alone({"rotate": 90, "anchor": [float(x) - 10, float(y)]}))
    assert centre(picture[0][..., 3]) == pytest.approx([x - 10, y + 10], abs=1.5)


def test_opacity_blur_and_colour(render, deliveries):
    original = layer(deliveries, "ball", 0)
    half = render(alone({"opacity": 0.5}), name="half")[0]
    assert np.abs(half[..., 3] - original[..., 3] / 2).max() <= 1
    soft = render(alone({"blur": 2}), name="soft")[0][..., 3]
    assert soft.astype(float).sum() == pytest.approx(original[..., 3].astype(float).sum(), rel=0.03)
    assert np.abs(np.diff(soft.astype(int), axis=1)).max() < np.abs(np.diff(original[..., 3].astype(int), axis=1)).max()
    solid = original[..., 3] == 255
    grey = render(alone({"color": {"saturation": 0}}), name="grey")[0][solid][:, :3]
    assert np.ptp(grey.astype(int), axis=1).max() <= 1
    dark = render(alone({"color": {"exposure": -1}}), name="dark")[0][solid][:, :3]
    assert np.abs(dark - original[solid][:, :3] / 2).max() <= 1
    red = render(alone({"color": {"tint": "#ff0000"}}), name="red")[0][solid]
    assert np.array_equal(red[:, 0], original[solid][:, 0]) and not red[:, 1:3].any()


def test_retimed_layers_show_other_frames(render, deliveries):
    backwards = render(alone({"retime": {"reverse": True}}), name="r")
    frozen = render(alone({"retime": {"freeze": 4}}), name="f")
    late = render(alone({"retime": {"offset": 3, "edge": "hide"}}), name="l")
    for t in range(FRAMES):
        assert np.abs(backwards[t].astype(int) - layer(deliveries, "ball", FRAMES - 1 - t)).max() <= 1
        assert np.abs(frozen[t].astype(int) - layer(deliveries, "ball", 4)).max() <= 1
        if t < 3:
            assert not late[t].any()
    slow = render(alone({"retime": {"speed": 0.5, "blend": True}}), name="s")
    between = (layer(deliveries, "ball", 0)[..., 3].astype(int) + layer(deliveries, "ball", 1)[..., 3]) / 2
    assert np.abs(slow[1][..., 3] - between).max() <= 1


def test_order_decides_who_is_seen(render, scene):
    ball, cup = (render({"order": [first, second]}, name=first) for first, second in (("ball", "cup"), ("cup", "ball")))
    both = scene.solid["ball"][3] & scene.solid["cup"][3]
    assert both.sum() > 20
    assert ball[3][both].mean(axis=0)[0] > 150 and cup[3][both].mean(axis=0)[2] > 150


def test_another_background(render, tmp_path):
    removed = {"ball": {"remove": True}, "cup": {"remove": True}}
    assert (render({"layers": removed, "background": {"color": "#102030"}}, name="c") == (16, 32, 48)).all()
    assert len(np.unique(render({"layers": removed, "background": "checker"}, name="k"))) == 2
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((20, 20, 3), (10, 20, 200), np.uint8))
    assert (render({"layers": removed, "background": {"image": "wall.png"}}, name="i") == (200, 20, 10)).all()
    with av.open(str(tmp_path / "sky.mp4"), "w") as movie:
        stream = movie.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for level in (50, 200):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), level, np.uint8), "rgb24")
            movie.mux(stream.encode(frame))
        movie.mux(stream.encode(None))
    sky = render({"layers": removed, "background": {"video": "sky.mp4"}}, name="v").mean(axis=(1, 2, 3))
    assert sky == pytest.approx([50, 200] * 4, abs=4)


def test_a_layer_of_another_delivery(render, deliveries, tmp_path):
    insert = {"from": str(deliveries / "exr"), "layer": "ball", "as": "twin", "move": [10, 0]}
    edit = {"inserts": [insert], "layers": {"ball": {"remove": True}, "cup": {"remove": True}}}
    edit |= {"background": "none", "output": {"format": "png", "alpha": True}}
    picture = render(edit)
    assert np.abs(picture[0][:, 10:].astype(int) - layer(deliveries, "ball", 0)[:, :-10]).max() <= 3


def test_an_insert_looks_as_it_did_where_the_clips_are_coded_otherwise(render, deliveries, scene, tmp_path):
    done = make_job(tmp_path / "job", scene).finish(formats=["png"], delivery={"color": "rec709", "start_frame": 1001})
    for path in done.manifest.files:
        target = tmp_path / "rec709" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(done.read(path))
    insert = {"from": str(tmp_path / "rec709"), "layer": "ball", "as": "twin"}
    edit = {"inserts": [insert], "layers": {"ball": {"remove": True}, "cup": {"remove": True}}}
    picture = render(edit | {"background": "none", "output": {"format": "png", "alpha": True}})
    own, other = layer(deliveries, "ball", 0), read(tmp_path / "rec709/layers/ball/01001.png")
    seen = own[..., 3] > 0
    assert np.abs(other[seen].astype(int) - own[seen]).max() > 8  # Otherwise there would be nothing to convert.
    assert np.abs(picture[0][seen].astype(int) - own[seen]).max() <= 3


def test_a_part_of_the_clip_at_another_size(render, scene):
    picture = render({"frames": [2, 5], "size": "40x24"})
    assert picture.shape == (4, 24, 40, 3)
    small = np.stack([cv2.resize(frame, (40, 24), interpolation=cv2.INTER_AREA) for frame in scene.clip[2:6]])
    assert psnr(picture, small) > 40


@pytest.mark.parametrize("name", ["cartoon", "edges", "pixelate", "posterize"])
def test_styles_change_colour_and_keep_alpha(render, deliveries, name):
    styled = render(alone({"stylise": {"filter": name}}))[0]
    original = layer(deliveries, "ball", 0)
    assert np.array_equal(styled[..., 3], original[..., 3])
    assert np.abs(styled[..., :3].astype(int) - original[..., :3])[original[..., 3] == 255].max() > 10


INVERT = """
import sys, pathlib, cv2
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(pathlib.Path(sys.argv[2]) / path.name), 255 - image[..., :3])
"""


def test_a_command_of_the_users_restyles_a_layer(render, deliveries, tmp_path):
    (tmp_path / "invert.py").write_text(INVERT)
    command = [sys.executable, str(tmp_path / "invert.py"), "{input}", "{output}"]
    styled = render(alone({"stylise": {"command": command}}))[2]
    original = layer(deliveries, "ball", 2)
    solid = original[..., 3] == 255
    assert np.array_equal(styled[solid][:, :3], 255 - original[solid][:, :3])
    assert np.array_equal(styled[..., 3], original[..., 3])


@pytest.mark.parametrize(
    ("command", "error", "sentence"),
    [
        (["no-such-program", "{input}", "{output}"], BadOption, "there is no program 'no-such-program'"),
        (["false", "{input}", "{output}"], BadInput, "false ended with status 1: it said nothing"),
        (["true", "{input}", "{output}"], BadInput, "wrote no 00000.png"),
    ],
)
def test_commands_that_fail(render, tmp_path, command, error, sentence):
    with pytest.raises(error, match=sentence):
        render(alone({"stylise": {"command": command}}))
    assert not (tmp_path / "out").exists()


# ---- what comes out


@pytest.mark.parametrize(("form", "suffix"), [("mp4", "mp4"), ("webm", "webm"), ("prores", "mov"), ("hevc", "mov")])
def test_movies_have_the_clips_rate_count_and_sound(deliveries, tmp_path, scene, form, suffix):
    (tmp_path / "e.yaml").write_text(f"output: {{format: {form}}}")
    out = compose(tmp_path / "e.yaml", tmp_path / f"out.{suffix}", source=deliveries / "png", quiet=True)
    with av.open(str(out)) as container:
        assert container.streams.video[0].average_rate == 16 and container.streams.audio
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == FRAMES and psnr(np.stack(frames), scene.clip) > 25


def test_exr_is_linear_and_premultiplied(deliveries, tmp_path):
    (tmp_path / "e.yaml").write_text(yaml.safe_dump(alone({}) | {"output": {"format": "exr", "alpha": True}}))
    out = compose(tmp_path / "e.yaml", tmp_path / "out", source=deliveries / "png", quiet=True)
    pixels = OpenEXR.File(str(out / "01003.exr")).channels()["RGBA"].pixels
    layers = OpenEXR.File(str(deliveries / "exr/exr/01003.exr")).channels()["ball"].pixels
    assert np.allclose(pixels, layers, atol=3e-3)


def test_alpha_survives_in_movies(deliveries, tmp_path):
    (tmp_path / "e.yaml").write_text(yaml.safe_dump(alone({}) | {"output": {"format": "prores", "alpha": True}}))
    out = compose(tmp_path / "e.yaml", tmp_path / "out.mov", source=deliveries / "png", quiet=True)
    with av.open(str(out)) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="rgba")
    assert np.abs(frame[..., 3].astype(int) - layer(deliveries, "ball", 0)[..., 3]).mean() <= 1
    (tmp_path / "e.yaml").write_text(yaml.safe_dump(alone({}) | {"output": {"format": "hevc", "alpha": True}}))
    out = compose(tmp_path / "e.yaml", tmp_path / "hevc.mov", source=deliveries / "png", quiet=True)
    alpha = next(layered_hevc.alphas(out))
    assert np.abs(alpha.astype(int) - layer(deliveries, "ball", 0)[..., 3]).mean() <= 1


# ---- what cannot be done, and leaves nothing behind


def refused(tmp_path: Path, edit: dict | str, source: Path, *, out: str = "out.mp4") -> str:
    file = tmp_path / "edit.yaml"
    file.write_text(edit if isinstance(edit, str) else yaml.safe_dump(edit))
    before = {path for path in tmp_path.rglob("*") if path != file}
    with pytest.raises(OmnimatteError) as caught:
        compose(file, tmp_path / out, source=source, quiet=True)
    assert {path for path in tmp_path.rglob("*") if path != file} == before
    assert "\n" not in caught.value.message
    return caught.value.message


def test_missing_things_are_named(deliveries, tmp_path):
    png = deliveries / "png"
    assert "no folder" in refused(tmp_path, {}, tmp_path / "nowhere")
    assert "no layer 'cat'" in refused(tmp_path, {"layers": {"cat": {}}}, png)
    assert "no file" in refused(tmp_path, {"background": {"image": "wall.png"}}, png)
    assert "no folder" in refused(tmp_path, {"inserts": [{"from": "gone", "layer": "a"}]}, png)
    broken = tmp_path / "broken"
    shutil.copytree(png, broken)
    (broken / "layers/cup/01004.png").unlink()
    assert "lacks the file layers/cup/01004.png" in refused(tmp_path, {}, broken)
    (broken / "layers.json").write_text("{}")
    assert "layers.json" in refused(tmp_path, {}, broken) and "cannot be used" in refused(tmp_path, {}, broken)


def test_a_damaged_picture_is_named(deliveries, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(deliveries / "png", broken)
    (broken / "layers/cup/01004.png").write_bytes(b"no picture")
    assert "layers/cup/01004.png is no PNG" in refused(tmp_path, {}, broken)


@pytest.mark.parametrize("source", ["webm", "prores", "hevc"])
def test_a_damaged_movie_is_named(deliveries, tmp_path, source):
    broken = tmp_path / "broken"
    shutil.copytree(deliveries / source, broken)
    movie = next((broken / "layers").glob("cup.*"))
    data = bytearray(movie.read_bytes())
    data[len(data) // 4 : len(data) * 3 // 4] = bytes(len(data) * 3 // 4 - len(data) // 4)
    movie.write_bytes(data)
    assert f"layers/{movie.name}" in refused(tmp_path, {}, broken)


def test_a_delivery_cannot_lead_out_of_its_folder(deliveries, tmp_path):
    evil = tmp_path / "evil"
    shutil.copytree(deliveries / "png", evil)
    content = json.loads((evil / "layers.json").read_text())
    content["background"]["files"]["png"] = "../secret/%05d.png"
    (evil / "layers.json").write_text(json.dumps(content))
    assert "no path inside it" in refused(tmp_path, {}, evil)
    (tmp_path / "secret.png").write_bytes(b"")
    content["background"]["files"]["png"] = "link/%05d.png"
    (evil / "layers.json").write_text(json.dumps(content))
    (evil / "link").symlink_to(tmp_path)
    assert "leads out of its folder" in refused(tmp_path, {}, evil)


def test_codecs_say_what_they_cannot_hold(deliveries, tmp_path):
    png = deliveries / "png"
    assert "cannot be 41x24" in refused(tmp_path, {"size": "41x24"}, png)
    assert "has no alpha" in refused(tmp_path, {"background": "none", "output": {"alpha": True}}, png)


def test_a_folder_that_nobody_may_write(deliveries, tmp_path):
    (tmp_path / "file").write_text("")
    assert "nothing can be written" in refused(tmp_path, {}, deliveries / "png", out="file/out.mp4")


def test_what_is_there_is_not_replaced_unasked(deliveries, tmp_path):
    (tmp_path / "e.yaml").write_text("")
    (tmp_path / "out.mp4").write_text("mine")
    with pytest.raises(OmnimatteError, match="use --force"):
        compose(tmp_path / "e.yaml", tmp_path / "out.mp4", source=deliveries / "png", quiet=True)
    assert (tmp_path / "out.mp4").read_text() == "mine"
    compose(tmp_path / "e.yaml", tmp_path / "out.mp4", source=deliveries / "png", quiet=True, force=True)
    assert (tmp_path / "out.mp4").stat().st_size > 500


def test_an_edit_that_is_not_there(tmp_path):
    with pytest.raises(NotFound, match="there is no edit"):
        compose(tmp_path / "no.yaml", tmp_path / "out.mp4", quiet=True)
    (tmp_path / "e.yaml").write_text("")
    with pytest.raises(BadInput, match="does not say what it edits"):
        compose(tmp_path / "e.yaml", tmp_path / "out.mp4", quiet=True)
