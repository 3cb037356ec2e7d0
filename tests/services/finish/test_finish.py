"""The stage on a clip whose layers are known: what is delivered, how good it is, and what layers.json says."""

import io
import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import jsonschema
import numpy as np
import pytest

from services.artifacts import Artifact
from services.errors import BadOption, Cancelled
from services.finish.stage import Finish
from services.stage import execute
from tests.services.finish.scene import make_job, make_scene, put_arrays

SCHEMA = json.loads((Path(__file__).parents[3] / "services/finish/layers.schema.json").read_text())


def png(artifact: Artifact, name: str) -> np.ndarray:
    data = np.frombuffer(artifact.read(name), np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB)


def report(artifact: Artifact) -> dict:
    content = json.loads(artifact.read("layers.json"))
    jsonschema.validate(content, SCHEMA)
    return content


@pytest.fixture(scope="module")
def scene():
    return make_scene(10, 48, 80, swap=5)


@pytest.fixture(scope="module")
def result(tmp_path_factory, scene) -> Artifact:
    job = make_job(tmp_path_factory.mktemp("finish"), scene, noise=0.02, alpha_noise=0.02)
    return job.finish()


def test_every_frame_has_its_files(result):
    expected = {f"{stem}/{t:05d}.png" for stem in ("background", "layers/ball", "layers/cup") for t in range(10)}
    assert set(result.manifest.files) == expected | {"layers.json", "index.html"}
    assert png(result, "background/00003.png").shape == (48, 80, 3)
    assert png(result, "layers/cup/00009.png").shape == (48, 80, 4)


def test_the_order_follows_the_occlusion_and_swaps_when_it_does(result, scene):
    order = report(result)["order"]
    assert [row[0] for row in order] == scene.front
    assert result.meta["order"] == [
        {"frame": 0, "front_to_back": ["ball", "cup"]},
        {"frame": 5, "front_to_back": ["cup", "ball"]},
    ]


def test_the_deliverables_recompose_as_measured(result, scene):
    content = report(result)
    errors = []
    for t, order in enumerate(content["order"]):
        picture = png(result, f"background/{t:05d}.png").astype(float)
        for label in reversed(order):
            layer = png(result, f"layers/{label}/{t:05d}.png").astype(float)
            picture += layer[..., 3:] / 255 * (layer[..., :3] - picture)
        errors.append(np.mean((np.rint(picture) - scene.clip[t]) ** 2))
    measured = 10 * np.log10(255**2 / np.mean(errors))
    assert content["recomposition"]["psnr_db"] == pytest.approx(measured, abs=0.02)
    assert content["recomposition"]["worst_frame"] == int(np.argmax(errors))
    assert measured > 40


def test_untouched_background_and_visible_objects_are_the_inputs_own_pixels(result, scene):
    for t in range(10):
        alphas = np.max([scene.alpha[label][t, ..., 0] for label in scene.labels], axis=0)
        # No layer, and no mask within reach of the guard.
        free = cv2.dilate((alphas > 0).astype(np.uint8), np.ones((5, 5))) == 0
        assert free.sum() > 500
        assert np.array_equal(png(result, f"background/{t:05d}.png")[free], scene.clip[t][free])
        front = scene.front[t]
        inside = cv2.erode(scene.visible(front)[t].astype(np.uint8), np.ones((5, 5))) > 0
        layer = png(result, f"layers/{front}/{t:05d}.png")
        opaque = inside & (layer[..., 3] == 255)
        assert opaque.sum() > 20 and np.array_equal(layer[..., :3][opaque], scene.clip[t][opaque])


def test_the_layer_behind_never_takes_the_occluders_colour(result, scene):
    for t in (4, 5):
        behind = "cup" if scene.front[t] == "ball" else "ball"
        hidden = scene.solid[behind][t] & scene.visible(scene.front[t])[t]
        assert hidden.sum() > 40
        layer = png(result, f"layers/{behind}/{t:05d}.png")[..., :3] / 255
        assert np.abs(layer[hidden] - scene.rgb[behind][t][hidden]).mean() < 0.03


def test_layers_json_says_where_everything_comes_from(result):
    content = report(result)
    assert (content["frames"], content["width"], content["height"], content["fps"]) == (10, 80, 48, "16/1")
    assert content["layers"][1] == {"label": "cup", "files": {"png": "layers/cup/%05d.png"}}
    stages = [row["stage"] for row in content["timings"]]
    assert stages.count("ingest") == 3 and stages.count("omnimatte") == 2 and stages[-1] == "finish"
    assert content["seeds"] == {"ssr": 7, "omnimatte": 7}
    names = {upload["filename"] for upload in content["digests"]["uploads"]}
    assert names == {"two discs.mkv", "ball.tar", "cup.tar"}
    assert content["profile"] == "compact" and content["job"] == "test" and content["occluders"] == []


def test_smaller_layers_are_brought_to_the_clips_size(tmp_path):
    scene = make_scene(4, 45, 71)
    done = make_job(tmp_path, scene, working=0.5).finish()
    assert png(done, "layers/ball/00003.png").shape == (45, 71, 4)
    assert done.meta["recomposition_psnr"] > 30


def test_depth_decides_where_nothing_hides(tmp_path):
    scene = make_scene(4, 48, 160)
    for label in scene.labels:  # Far apart, no overlap.
        shift = -30 if label == "ball" else 30
        scene.alpha[label] = np.roll(scene.alpha[label], shift, axis=2)
        scene.solid[label] = np.roll(scene.solid[label], shift, axis=2)
    scene.__post_init__()
    depth = np.tile([0.2, 0.8], (4, 1))
    done = make_job(tmp_path, scene, depth=depth).finish()
    assert done.meta["order"] == [{"frame": 0, "front_to_back": ["cup", "ball"]}]


def test_an_occluder_is_composited_but_not_delivered(tmp_path):
    done = make_job(tmp_path, make_scene(4, swap=0)).finish(layers=["ball"])
    content = report(done)
    assert [layer["label"] for layer in content["layers"]] == ["ball"] and content["occluders"] == ["cup"]
    assert content["order"][0] == ["cup", "ball"]
    assert not any("cup" in name for name in done.manifest.files)
    assert content["recomposition"]["psnr_db"] > 40


def test_an_occluder_without_a_layer_stays_out_of_background_and_measure(tmp_path):
    scene = make_scene(4, swap=0)
    job = make_job(tmp_path, scene)
    del job.inputs["layer/cup"]
    done = job.finish(layers=["ball"])
    assert report(done)["recomposition"]["psnr_db"] > 28
    cup = scene.visible("cup")[2] & (scene.alpha["ball"][2, ..., 0] == 0)
    plate = png(done, "background/00002.png") / 255
    assert np.abs(plate[cup] - scene.background[2][cup]).mean() < 0.02
    shadow = (scene.alpha["cup"][2, ..., 0] > 0.2) & ~scene.solid["cup"][2] & (scene.alpha["ball"][2, ..., 0] == 0)
    assert np.abs(plate[shadow] - scene.background[2][shadow]).mean() < 0.03


def test_one_object_and_one_frame(tmp_path):
    done = make_job(tmp_path, make_scene(1, labels=("ball",))).finish()
    assert done.meta["frames"] == 1 and done.meta["order"] == [{"frame": 0, "front_to_back": ["ball"]}]
    assert png(done, "layers/ball/00000.png").shape == (48, 80, 4)


def test_a_deep_clip_is_delivered_with_16_bits(tmp_path):
    scene = make_scene(3)
    scene.clip = scene.clip.astype(np.uint16) * 257
    job = make_job(tmp_path, scene, codec="ffv1", pixel_format="gbrp16le")
    done = job.finish(formats=["png", "prores"])
    background = png(done, "background/00001.png")
    assert background.dtype == np.uint16 and report(done)["formats"]["png"]["bits"] == 16
    video = job.store.get(job.inputs["video"]).array("frames")[1]
    free = cv2.dilate((scene.alpha["ball"][1] + scene.alpha["cup"][1] > 0).astype(np.uint8), np.ones((5, 5))) == 0
    assert np.array_equal(background[free], video[free])


def test_movies_match_the_clip_and_carry_its_sound(tmp_path):
    scene = make_scene(9, 45, 71)
    job = make_job(tmp_path, scene, pixel_format="bgr0", rate=Fraction(24000, 1001), audio="aac")
    done = job.finish(formats=["webm", "prores"])
    content = report(done)
    assert content["background"]["files"] == {"webm": "background.webm", "prores": "background.mov"}
    assert content["audio"] == {"codec": "aac", "rate": 48000, "channels": 2, "file": None}
    for name in ("background.webm", "background.mov", "layers/ball.webm", "layers/ball.mov"):
        with av.open(io.BytesIO(done.read(name))) as container:
            stream = container.streams.video[0]
            assert stream.average_rate == Fraction(24000, 1001)
            frames = list(container.decode(stream))
            assert len(frames) == 9 and (frames[0].width, frames[0].height) == (71, 45)
            assert bool(container.streams.audio) == name.startswith("background")


def test_a_variable_rate_is_written_down(tmp_path):
    times = [0, 40, 55, 130]
    done = make_job(tmp_path, make_scene(4), pts=times).finish(formats=["webm"])
    assert report(done)["timestamps"] == {"time_base": "1/1000", "pts": times}
    with av.open(io.BytesIO(done.read("background.webm"))) as container:
        assert [round(frame.time * 1000) for frame in container.decode(video=0)] == times


def test_sound_lies_beside_sequences(tmp_path):
    job = make_job(tmp_path, make_scene(3), audio="aac")
    done = job.finish(formats=["exr", "png"])
    assert report(done)["audio"]["file"] == "audio.mka"
    assert done.read("audio.mka") == job.store.get(job.inputs["video"]).read("audio.mka")


# ---- what cannot be delivered


@pytest.fixture(scope="module")
def small_job(tmp_path_factory):
    return make_job(tmp_path_factory.mktemp("small"), make_scene(2))


def test_an_unknown_format_is_refused(small_job):
    with pytest.raises(BadOption, match="no format 'gif'; choose from png, exr, prores"):
        small_job.finish(formats=["gif"])


def test_a_layer_without_an_input_is_refused(small_job):
    with pytest.raises(BadOption, match="'layer/vase'"):
        small_job.finish(layers=["vase"])


def test_a_label_cannot_leave_its_folder(tmp_path):
    job = make_job(tmp_path, make_scene(2))
    objects = [dict(job.objects[0], label="../evil"), job.objects[1]]
    job.inputs["layer/../evil"] = job.inputs.pop("layer/ball")
    with pytest.raises(BadOption, match="cannot name a file"):
        job.finish(objects=objects, layers=["../evil"])


def test_inputs_of_another_length_are_refused(tmp_path):
    job = make_job(tmp_path, make_scene(2))
    longer = {"frames": np.zeros((3, 48, 80, 3), np.float16)}
    job.inputs["background"] = put_arrays(job.store, "ssr", longer, params={}, inputs={})
    with pytest.raises(BadOption, match="'background' of finish has 3 frames, the video 2"):
        job.finish()


def test_cancelling_leaves_nothing(small_job):
    before = {path for path in Path(small_job.store.url).rglob("*") if path.is_file()}
    calls = iter(range(100))
    with pytest.raises(Cancelled):
        execute(Finish(), small_job.request(), small_job.store, cancelled=lambda: next(calls) > 3)
    assert {path for path in Path(small_job.store.url).rglob("*") if path.is_file()} == before
