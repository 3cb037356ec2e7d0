"""Every format that a layer can be delivered in, read back by a reader that is not ours."""

import io
import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import jsonschema
import numpy as np
import OpenEXR
import pytest

from services.artifacts import Artifact
from services.deliverables import FORMATS, PROJECTS
from services.errors import BadOption
from tests.services import layered_hevc
from tests.services.finish.scene import make_job, make_scene

SCHEMA = json.loads((Path(__file__).parents[3] / "services/finish/layers.schema.json").read_text())
ALL = [name for name in FORMATS if name not in (*PROJECTS, "hevc")]
BT709, SRGB, PQ, BT2020, SMPTE170M = 1, 13, 16, 9, 6


def told(done: Artifact) -> dict:
    content = json.loads(done.read("layers.json"))
    jsonschema.validate(content, SCHEMA)
    return content


def picture(done: Artifact, path: str) -> np.ndarray:
    """A PNG as it is, RGB(A) or grey."""
    image = cv2.imdecode(np.frombuffer(done.read(path), np.uint8), cv2.IMREAD_UNCHANGED)
    if image.ndim == 2:
        return image
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB)


def exr(done: Artifact, path: str, folder: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """Header and channel groups of an EXR."""
    file = folder / "read.exr"
    file.write_bytes(done.read(path))
    opened = OpenEXR.File(str(file))
    return opened.header(), {name: channel.pixels for name, channel in opened.channels().items()}


def frames(done: Artifact, path: str) -> list[av.VideoFrame]:
    with av.open(io.BytesIO(done.read(path))) as container:
        stream = container.streams.video[0]
        if stream.codec.name != "vp9":
            return list(container.decode(stream))
        decoder = av.CodecContext.create("libvpx-vp9", "r")
        packets = [packet if packet.size else None for packet in container.demux(stream)]
        return [frame for packet in packets for frame in decoder.decode(packet)]


def alpha_of(frame: av.VideoFrame) -> np.ndarray:
    """A decoded frame's alpha, 0..1."""
    return frame.reformat(format="rgba64le").to_ndarray()[..., 3].astype(float) / 65535


@pytest.fixture(scope="module")
def scene():
    return make_scene(5, 45, 71, swap=3)


@pytest.fixture(scope="module")
def everything(tmp_path_factory, scene) -> Artifact:
    job = make_job(tmp_path_factory.mktemp("formats"), scene, rate=Fraction(24000, 1001), audio="aac")
    return job.finish(formats=ALL, delivery={"start_frame": 1001})


def test_layers_json_names_exactly_the_files_that_are_there(everything):
    content = told(everything)
    patterns = [path for part in (content["background"], *content["layers"]) for path in part["files"].values()]
    patterns += [*content["masks"].values(), *content["mattes"].values(), content["depth"]]
    patterns += [path for shown in content["previews"].values() for path in shown.values()]
    named = {pattern % number for pattern in patterns if "%" in pattern for number in range(1001, 1006)}
    named |= {path for path in patterns if "%" not in path} | {"layers.json", "index.html", "audio.mka"}
    assert named == set(everything.manifest.files)
    assert (content["start_frame"], content["timecode"]) == (1001, "00:00:41:17")


def test_png_and_exr_agree_and_lose_no_alpha(everything, scene, tmp_path):
    for t in range(5):
        header, layers = exr(everything, f"exr/{1001 + t:05d}.exr", tmp_path)
        assert set(layers) == {"RGBA", "ball", "cup"}
        assert header["compression"] == OpenEXR.ZIP_COMPRESSION
        for window in ("dataWindow", "displayWindow"):
            assert [list(corner) for corner in header[window]] == [[0, 0], [70, 44]]
        for name, stem in (("RGBA", "background"), ("ball", "layers/ball"), ("cup", "layers/cup")):
            straight = picture(everything, f"{stem}/{1001 + t:05d}.png").astype(np.float64) / 255
            alpha = straight[..., 3:] if straight.shape[2] == 4 else np.ones((45, 71, 1))
            color = np.where(
                straight[..., :3] <= 0.04045, straight[..., :3] / 12.92, ((straight[..., :3] + 0.055) / 1.055) ** 2.4
            )
            assert layers[name].dtype == np.float16
            assert np.allclose(layers[name][..., :3], color * alpha, atol=6e-4)
            assert np.array_equal(layers[name][..., 3], alpha[..., 0].astype(np.float32).astype(np.float16))


@pytest.mark.parametrize(("family", "suffix"), [("prores", "mov"), ("webm", "webm")])
def test_movies_keep_alpha_within_a_code(everything, family, suffix):
    for label in ("ball", "cup"):
        decoded = frames(everything, f"layers/{label}.{suffix}")
        assert len(decoded) == 5
        sent = [picture(everything, f"layers/{label}/{1001 + t:05d}.png")[..., 3] / 255 for t in range(5)]
        errors = [np.abs(alpha_of(frame) - alpha).mean() for frame, alpha in zip(decoded, sent, strict=True)]
        assert max(errors) <= 1 / 255


def test_quicktime_says_rate_timecode_and_sound(everything):
    with av.open(io.BytesIO(everything.read("background.mov"))) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == Fraction(24000, 1001)
        assert stream.metadata["timecode"] == "00:00:41:17"
        assert container.streams.audio[0].codec.name == "aac"
    with av.open(io.BytesIO(everything.read("layers/ball.mov"))) as container:
        assert container.streams.video[0].codec_context.pix_fmt.startswith("yuva444p")
        assert container.streams.video[0].metadata["timecode"] == "00:00:41:17"


def test_previews_show_layers_over_checker_and_colour(everything, scene):
    content = told(everything)
    shown = content["previews"]["cup"]
    empty = scene.alpha["cup"][2, :44, :70, 0] == 0
    for name, expected in (("checker", {204, 153}), ("color", {0xB1})):
        decoded = frames(everything, shown[name])
        assert len(decoded) == 5 and (decoded[0].width, decoded[0].height) == (70, 44)
        green = decoded[2].reformat(format="rgb24").to_ndarray()[..., 1][empty]
        near = np.min([np.abs(green.astype(int) - value) for value in expected], axis=0)
        assert np.median(near) <= 4
    with av.open(io.BytesIO(everything.read(content["previews"]["background"]["plain"]))) as container:
        assert container.streams.audio and container.streams.video[0].codec.name == "h264"


def test_masks_mattes_and_depth_are_what_they_say(everything, scene):
    mask = picture(everything, "masks/cup/01003.png")
    assert mask.dtype == np.uint8 and np.array_equal(mask > 127, scene.visible("cup")[2])
    matte = picture(everything, "mattes/cup/01003.png")
    alpha = picture(everything, "layers/cup/01003.png")[..., 3]
    assert np.array_equal(matte, np.where(mask > 0, 0, alpha)) and (matte > 40).sum() > 10
    depth = picture(everything, "depth/01003.png")
    assert depth.dtype == np.uint16 and depth.shape == (45, 71)


def test_values_above_one_stay(tmp_path):
    """A PQ clip of 10 bit: white paper at 100 cd/m2 is 1, a lamp of 10,000 is 100."""
    scene = make_scene(2, labels=("ball",))
    scene.clip = np.full((2, 48, 80, 3), 65535, np.uint16)
    scene.background[:] = 1.0
    tags = {"primaries": BT2020, "transfer": PQ, "codec": "ffv1", "pixel_format": "gbrp16le"}
    done = make_job(tmp_path, scene, **tags).finish(formats=["exr"])
    _, layers = exr(done, "exr/00000.exr", tmp_path)
    assert float(np.median(layers["RGBA"][..., :3])) == pytest.approx(100, rel=0.01)
    assert told(done)["formats"]["exr"]["color"] == "scene-linear, linear, from pq bt2020"


@pytest.mark.parametrize("compression", ["zip", "piz", "dwaa"])
def test_compressions(tmp_path, compression):
    done = make_job(tmp_path, make_scene(1)).finish(formats=["exr", "png"], delivery={"exr_compression": compression})
    header, layers = exr(done, "exr/00000.exr", tmp_path)
    assert header["compression"] == getattr(OpenEXR, f"{compression.upper()}_COMPRESSION")
    alpha = picture(done, "layers/cup/00000.png")[..., 3] / 255
    assert np.abs(layers["cup"][..., 3] - alpha).mean() <= (1 / 255 if compression == "dwaa" else 3e-4)


def test_acescg_is_another_set_of_primaries(tmp_path):
    job = make_job(tmp_path, make_scene(1))
    linear = exr(job.finish(formats=["exr"]), "exr/00000.exr", tmp_path)[1]["RGBA"]
    header, aces = exr(job.finish(formats=["exr"], delivery={"exr_color": "acescg"}), "exr/00000.exr", tmp_path)
    matrix = np.array([[0.6131, 0.3395, 0.0474], [0.0702, 0.9164, 0.0134], [0.0206, 0.1096, 0.8698]])
    expected = linear[..., :3].astype(np.float64) @ matrix.T
    assert np.allclose(aces["RGBA"][..., :3], expected, atol=2e-3)
    assert header["chromaticities"][0] == pytest.approx(0.713)


def test_video_is_decoded_as_a_display_would(tmp_path):
    job = make_job(tmp_path, make_scene(1), transfer=BT709, primaries=BT709)
    done = job.finish(formats=["exr", "png"])
    linear = exr(done, "exr/00000.exr", tmp_path)[1]["RGBA"][..., :3]
    codes = picture(done, "background/00000.png") / 255
    assert np.allclose(linear, codes**2.4, atol=1e-3)


def test_a_colour_space_that_the_clip_has_already_changes_nothing(tmp_path):
    job = make_job(tmp_path, make_scene(1), transfer=BT709, primaries=BT709)
    own, same, other = (job.finish(delivery=how) for how in ({}, {"color": "rec709"}, {"color": "srgb"}))
    path = "background/00000.png"
    assert np.array_equal(picture(own, path), picture(same, path))
    converted = picture(other, path) / 255
    light = (picture(own, path) / 255) ** 2.4
    expected = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(converted - expected).max() <= 1.01 / 255
    assert told(other)["formats"]["png"]["space"] == "srgb"


def test_movies_carry_the_sources_tags(tmp_path):
    scene = make_scene(2, 48, 80)
    job = make_job(tmp_path, scene, pixel_format="yuv444p", matrix=SMPTE170M, primaries=SMPTE170M, transfer=BT709)
    done = job.finish(formats=["prores", "webm"])
    for path in ("background.mov", "layers/ball.mov", "background.webm"):
        with av.open(io.BytesIO(done.read(path))) as container:
            frame = next(container.decode(video=0))
            assert (int(frame.color_primaries), int(frame.color_trc), int(frame.colorspace)) == (6, 1, 6), path


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (16, np.uint16)])
@pytest.mark.parametrize("deep", [False, True])
def test_png_has_the_bits_that_were_asked_for(tmp_path, bits, dtype, deep):
    scene = make_scene(1)
    clip = {"codec": "ffv1", "pixel_format": "gbrp16le"} if deep else {}
    if deep:
        scene.clip = scene.clip.astype(np.uint16) * 257
    job = make_job(tmp_path, scene, **clip)
    asked, own = job.finish(delivery={"png_bits": bits}), job.finish()
    for path in ("background/00000.png", "layers/cup/00000.png"):
        image, as_is = picture(asked, path), picture(own, path)
        assert image.dtype == dtype
        difference = image / np.iinfo(dtype).max - as_is / np.iinfo(as_is.dtype).max
        assert np.abs(difference).max() <= (0.5 / 255 if deep and bits == 8 else 1e-9)


def test_names_follow_the_template(tmp_path):
    job = make_job(tmp_path, make_scene(2), filename="Shot 010: café.mkv")
    formats = ["png", "exr", "prores", "masks", "mattes", "depth", "preview"]
    name = "{clip}/{layer}/{clip}_{layer}.{frame}"
    done = job.finish(formats=formats, delivery={"name": name, "start_frame": 7})
    files = set(done.manifest.files)
    assert "Shot_010_caf/ball/Shot_010_caf_ball.00008.png" in files
    assert "Shot_010_caf/layers/Shot_010_caf_layers.00007.exr" in files
    assert "Shot_010_caf/background/Shot_010_caf_background.mov" in files
    assert "Shot_010_caf/ball.mask/Shot_010_caf_ball.mask.00007.png" in files
    assert "Shot_010_caf/cup.checker/Shot_010_caf_cup.checker.mp4" in files
    told(done)


@pytest.mark.parametrize(
    ("delivery", "sentence"),
    [
        ({"color": "rec2077"}, "no colour space 'rec2077'; choose from srgb, rec709"),
        ({"exr_color": "srgb"}, "no scene-linear colour space 'srgb'; choose from linear, acescg"),
        ({"exr_compression": "rar"}, "exr_compression is 'rar'; choose from zip, piz, dwaa"),
        ({"png_bits": 12}, "png_bits is 12; choose from 8, 16"),
        ({"start_frame": -1}, "start_frame is -1; give a whole number from 0"),
        ({"name": "{layer}"}, "lacks {frame}"),
        ({"name": "{frame}"}, "lacks {layer}"),
        ({"name": "../{layer}.{frame}"}, "must stay inside the folder"),
        ({"name": "/etc/{layer}.{frame}"}, "must stay inside the folder"),
        ({"name": "{frame}/{layer}"}, "in the file's own name"),
        ({"name": "{shot}_{layer}.{frame}"}, "unknown token {shot}"),
        ({"preview_color": "green"}, "write #rrggbb"),
        ({"colour": "srgb"}, "no option 'colour'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(tmp_path, delivery, sentence):
    job = make_job(tmp_path, make_scene(1))
    with pytest.raises(BadOption) as caught:
        job.finish(delivery=delivery)
    assert sentence in caught.value.message


@pytest.mark.parametrize(
    ("formats", "sentence"),
    [
        (["masks"], "masks alone delivers no layer; add one of png, exr, prores, webm, hevc"),
        (["png", "fcpxml"], "fcpxml cannot be made of png; add prores or hevc or webm"),
        ([], "delivers no layer"),
    ],
)
def test_formats_that_need_others_are_refused(tmp_path, formats, sentence):
    with pytest.raises(BadOption, match=sentence):
        make_job(tmp_path, make_scene(1)).finish(formats=formats)


def test_hevc_keeps_alpha_and_needs_an_even_size(tmp_path):
    with pytest.raises(BadOption, match="cannot be 71x45; take an even size, or prores"):
        make_job(tmp_path / "odd", make_scene(1, 45, 71)).finish(formats=["hevc"])
    done = make_job(tmp_path / "even", make_scene(5)).finish(formats=["hevc", "png"])
    for label in ("ball", "cup"):
        path = tmp_path / f"{label}.mov"
        path.write_bytes(done.read(f"layers/{label}.hevc.mov"))
        seen = [alpha / 255 for alpha in layered_hevc.alphas(path)]
        sent = [picture(done, f"layers/{label}/{t:05d}.png")[..., 3] / 255 for t in range(5)]
        assert max(np.abs(a - b).mean() for a, b in zip(seen, sent, strict=True)) <= 1 / 255
