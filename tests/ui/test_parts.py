"""What the page shows, without a browser: frames, masks over them, and what users may write."""

import json

import cv2
import numpy as np
import pytest

from services.compose.parse import parse
from services.errors import BadVideo
from tests.services.clips import make_clip, moving_square
from tests.services.finish.scene import make_job, make_scene
from ui import clip as clips
from ui import previews, prompts, result, words
from ui.session import Edit, LayerEdit, Marks


@pytest.fixture(scope="module")
def decoders():
    return clips.reader()


def test_a_clip_is_read_in_a_confined_process(tmp_path, decoders):
    pixels = moving_square(5, 96, 160)
    path = make_clip(tmp_path / "clip.mkv", pixels, codec="ffv1", pixel_format="bgr0")
    clip, _ = clips.open_clip(path, "clip.mkv", decoders=decoders, root=tmp_path)
    assert (clip.height, clip.width, clip.scale) == (96, 160, 6.0)
    assert list(clips.read_frames(clip, decoders=decoders))[-1] == 5
    small = cv2.resize(clips.frame(clip, 4), (160, 96), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - pixels[4]).mean() < 4
    clips.forget(clip)
    assert not clip.folder.exists()


def test_what_is_no_clip_is_refused_in_a_sentence(tmp_path, decoders):
    (tmp_path / "notes.txt").write_text("not a video at all")
    with pytest.raises(BadVideo) as caught:
        clips.open_clip(tmp_path / "notes.txt", "notes.txt", decoders=decoders, root=tmp_path)
    assert "notes.txt" in caught.value.message and "\n" not in caught.value.message


def test_a_mask_is_tinted_and_points_are_drawn(tmp_path, decoders):
    path = make_clip(tmp_path / "clip.mkv", moving_square(1, 96, 160))
    clip, _ = clips.open_clip(path, "clip", decoders=decoders, root=tmp_path)
    frame = clips.frame(clip, 0)
    marks = prompts.with_point(Marks(), clip, frame=0, x=100, y=50, positive=True)
    mask = np.zeros((96, 160), np.uint8)
    mask[10:30, 20:60] = 255
    shown = previews.painted(frame, marks, {"object-1": mask}, index=0, scale=clip.scale)
    changed = np.abs(shown.astype(int) - frame).max(axis=-1) > 3
    assert changed[90:150, 150:330].all() and changed[300, 600] and not changed[480:, :120].any()


def test_what_was_painted_becomes_a_mask_of_the_clips_size(tmp_path, decoders):
    path = make_clip(tmp_path / "clip.mkv", moving_square(1, 96, 160))
    clip, _ = clips.open_clip(path, "clip", decoders=decoders, root=tmp_path)
    layer = np.zeros((48, 80, 4), np.uint8)
    layer[10:20, 10:20, 3] = 255
    png = previews.preserve_png({"layers": [layer]}, [(0, 0, 3, 2)], clip)
    mask = cv2.imdecode(np.frombuffer(png or b"", np.uint8), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (96, 160) and (mask[22:38, 22:38] == 255).all() and (mask[:2, :3] == 255).all()
    assert mask.sum() == 255 * (400 + 6)
    assert previews.preserve_png({"layers": [np.zeros((48, 80, 4), np.uint8)]}, [], clip) is None
    assert previews.preserve_png(None, [], clip) is None


def test_nothing_that_users_choose_becomes_markup():
    evil = "<img src=x onerror=alert(1)>"
    for html in (
        words.note(evil),
        words.problem(BadVideo(evil)),
        words.legend([(evil, (1, 2, 3), evil)]),
        words.bar(evil, state="running", share=None, remark=evil),
        words.picture(b"RIFF0000WEBP", caption=evil),
    ):
        assert "<img src=x" not in html and "&lt;img" in html.replace("&#x27;", "'")
    assert words.picture(b"<svg>", caption="x") == ""


def test_the_sliders_make_the_same_edit_that_the_server_renders(tmp_path):
    done = make_job(tmp_path / "job", make_scene(4, swap=2)).finish()
    folder = tmp_path / "files"
    for path in done.manifest.files:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(done.read(path))
    edit = Edit(folder).with_layer("cup", LayerEdit(visible=False))
    plate = cv2.imread(str(folder / "background/00001.png"))[..., ::-1]
    alone = result.picture(edit.with_layer("ball", LayerEdit(visible=False)), 1)
    assert np.array_equal(alone, plate)
    moved = edit.with_layer("ball", LayerEdit(opacity=0.5, dx=10, dy=-2, delay=1))
    described = parse(result.description(moved))
    assert described.layers["ball"].move.at(0) == (10, -2) and described.layers["ball"].retime.offset == 1
    assert not np.array_equal(result.picture(moved, 1), result.picture(edit, 1))
    archive = result.packed(moved, tmp_path / "all")
    assert archive.suffix == ".zip" and json.loads((folder / "edit.yaml").read_text())["source"] == "."
