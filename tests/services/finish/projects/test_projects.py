"""Projects, read by other readers than the programs they are for: what they rebuild is the clip."""

import json
import shutil
import subprocess
import xml.etree.ElementTree as ET
from fractions import Fraction
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import opentimelineio as otio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.deliverables import READS
from services.finish.projects.plan import expanded, levels
from services.finish.projects.write import filename, write
from tests.services.finish.projects import nuke_script
from tests.services.finish.scene import make_job, make_scene

FRAMES = 6
BT709 = 1


@pytest.fixture(scope="module")
def scene():
    return make_scene(FRAMES, 48, 80, swap=3)


def delivered(tmp_path_factory, scene, formats: list[str], **clip) -> Path:
    root = tmp_path_factory.mktemp("projects")
    start = clip.pop("start", 1001)
    done = make_job(root / "job", scene, **clip).finish(formats=formats, delivery={"start_frame": start})
    for path in done.manifest.files:
        target = root / "out" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(done.read(path))
    return root / "out"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, scene) -> Path:
    formats = ["png", "prores", "otio", "fcpxml", "nuke", "aftereffects"]
    return delivered(tmp_path_factory, scene, formats, rate=Fraction(24000, 1001), audio="aac")


def content(folder: Path) -> dict:
    return json.loads((folder / "layers.json").read_text())


def test_layers_json_names_the_projects(folder):
    told = content(folder)["projects"]
    assert told == {kind: filename(kind) for kind in READS}
    assert all((folder / path).stat().st_size > 500 for path in told.values())


# ---- Nuke


def rebuilt(folder: Path, frame: int) -> np.ndarray:
    """What the script makes of frame `frame`, scene-linear."""
    root, end = nuke_script.parse((folder / "omnimatte.nk").read_text())
    assert int(root.knobs["last_frame"]) - int(root.knobs["first_frame"]) == FRAMES - 1
    return nuke_script.compute(end, frame, folder)["rgba"][..., :3]


def srgb(codes: np.ndarray) -> np.ndarray:
    v = codes / 255
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("formats", [["png"], ["exr"], ["exr", "png"]])
@pytest.mark.parametrize("tags", [{}, {"transfer": BT709, "primaries": BT709}], ids=["srgb", "rec709"])
def test_the_nuke_script_rebuilds_the_clip_and_its_changing_order(tmp_path_factory, scene, formats, tags):
    folder = delivered(tmp_path_factory, scene, [*formats, "nuke"], **tags)
    linear = (lambda codes: (codes / 255) ** 2.4) if tags else srgb
    for t in range(FRAMES):
        error = rebuilt(folder, 1001 + t) - linear(scene.clip[t].astype(np.float64))
        assert np.abs(error).max() < 0.05 and np.sqrt(np.mean(error**2)) < 0.004


def test_one_layer_and_another_start(tmp_path_factory):
    alone = make_scene(FRAMES, 48, 80, labels=("ball",))
    folder = delivered(tmp_path_factory, alone, ["png", "nuke"], start=0)
    assert np.abs(rebuilt(folder, 2) - srgb(alone.clip[2].astype(np.float64))).max() < 0.05


# ---- OpenTimelineIO


def test_the_timeline_shows_the_right_layers_at_every_frame(folder):
    timeline = otio.adapters.read_from_file(str(folder / "timeline.otio"))
    video = [track for track in timeline.tracks if track.kind == "Video"]
    order = content(folder)["order"]
    assert timeline.global_start_time == otio.opentime.RationalTime(1001, 24000 / 1001)
    assert timeline.duration().value == FRAMES
    for t in range(FRAMES):
        moment = otio.opentime.RationalTime(t, 24000 / 1001)
        shown = [track.child_at_time(moment) for track in video]
        assert [clip.name for clip in shown] == ["background", *reversed(order[t])]
        for clip in shown:
            at = moment - clip.range_in_parent().start_time + clip.source_range.start_time
            assert at.value == 1001 + t
            number = t  # of the image within the sequence
            path = folder / clip.media_reference.target_url_for_image_number(number)
            assert path.is_file() and path.name == f"{1001 + t:05d}.png"
    (sound,) = [track for track in timeline.tracks if track.kind == "Audio"]
    assert (folder / sound[0].media_reference.target_url).is_file()


# ---- FCPXML


def time(text: str) -> Fraction:
    assert text.endswith("s")
    return Fraction(text[:-1])


def test_fcpxml_is_exact_and_names_what_is_there(folder):
    root = ET.parse(folder / "timeline.fcpxml").getroot()
    assert root.attrib == {"version": "1.10"}
    (form,) = root.iter("format")
    frame = Fraction(1001, 24000)
    assert time(form.get("frameDuration")) == frame and form.get("width") == "80"
    assets = {asset.get("id"): asset for asset in root.iter("asset")}
    assert [asset.get("hasAudio") for asset in assets.values()] == ["1", None, None]
    for asset in assets.values():
        assert (folder / unquote(asset.find("media-rep").get("src"))).is_file()
        assert time(asset.get("duration")) == FRAMES * frame and time(asset.get("start")) == 1001 * frame
    (sequence,) = root.iter("sequence")
    assert time(sequence.get("tcStart")) == 1001 * frame and time(sequence.get("duration")) == FRAMES * frame
    (story,) = sequence.find("spine")
    for t, order in enumerate(content(folder)["order"]):
        moment = (1001 + t) * frame
        shown = [
            (int(clip.get("lane")), assets[clip.get("ref")].get("name"))
            for clip in story.iter("asset-clip")
            if clip.get("lane")
            and time(clip.get("offset")) <= moment < time(clip.get("offset")) + time(clip.get("duration"))
        ]
        assert [name for _, name in sorted(shown, reverse=True)] == order
    assert all(clip.get("offset") == clip.get("start") for clip in story.iter("asset-clip"))


# ---- After Effects

FAKE = """
const said = { comps: [], imports: [], alerts: [] };
const AlphaMode = { STRAIGHT: "straight", PREMULTIPLIED: "premultiplied", IGNORE: "ignore" };
function File(path) { this.fsName = path; this.exists = require("fs").existsSync(path); }
Object.defineProperty(File.prototype, "parent", {
  get() { return { fsName: require("path").dirname(this.fsName) }; },
});
function ImportOptions(file) { this.file = file; this.sequence = false; }
const app = {
  beginUndoGroup() {}, endUndoGroup() {},
  project: {
    importFile(options) {
      const item = { file: options.file.fsName, sequence: options.sequence, mainSource: {} };
      said.imports.push(item);
      return item;
    },
    items: {
      addComp(name, width, height, pixelAspect, duration, frameRate) {
        const comp = { name, width, height, pixelAspect, duration, frameRate, stack: [], openInViewer() {} };
        comp.layers = { add(item) { const layer = { item }; comp.stack.unshift(layer); return layer; } };
        said.comps.push(comp);
        return comp;
      },
    },
  },
};
const $ = { fileName: process.argv[2] };
function alert(text) { said.alerts.push(text); }
"""


def run_script(folder: Path, tmp_path: Path) -> dict:
    program = FAKE + (folder / "after_effects.jsx").read_text() + "\nconsole.log(JSON.stringify(said));\n"
    (tmp_path / "run.js").write_text(program)
    node = shutil.which("node")
    if node is None:
        pytest.skip("no JavaScript engine")
    done = subprocess.run(
        [node, str(tmp_path / "run.js"), str(folder / "after_effects.jsx")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_after_effects_gets_the_layers_in_order(folder, tmp_path):
    said = run_script(folder, tmp_path)
    (comp,) = said["comps"]
    assert comp["frameRate"] == pytest.approx(24000 / 1001) and comp["duration"] == pytest.approx(FRAMES * 1001 / 24000)
    assert comp["displayStartTime"] == pytest.approx(1001 * 1001 / 24000)
    assert (comp["width"], comp["height"], comp["pixelAspect"]) == (80, 48, 1)
    for item in said["imports"]:
        assert Path(item["file"]).is_file() and item["sequence"]
        expected = "ignore" if "background" in item["file"] else "straight"
        assert item["mainSource"]["alphaMode"] == expected
    for t, order in enumerate(content(folder)["order"]):
        moment = (t + 0.5) * 1001 / 24000
        shown = [layer["name"] for layer in comp["stack"] if layer["inPoint"] <= moment < layer["outPoint"]]
        assert shown == [*order, "background"]


def test_a_missing_file_is_told(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "layers/cup/01001.png").unlink()
    said = run_script(copy, tmp_path)
    assert said["alerts"] == ["The file layers/cup/01001.png is not beside this script."] and not said["comps"]


# ---- all of them

labels = st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True)


@given(st.data())
def test_levels_say_what_the_order_says(data):
    known = data.draw(labels)
    order = data.draw(st.lists(st.permutations([*known, "occluder"]), min_size=1, max_size=20))
    found = levels(order, known)
    rows = [list(row) for row in zip(*(expanded(level) for level in found), strict=True)]
    assert rows == [[label for label in reversed(row) if label in known] for row in order]


HOSTILE = st.text(st.characters(exclude_characters="/\\%\x00", codec="utf-8"), min_size=1, max_size=30)


@given(label=HOSTILE, name=HOSTILE)
def test_no_label_breaks_out_of_its_project(label, name, folder):
    told = content(folder)
    old = told["layers"][0]["label"]
    told["layers"][0] |= {"label": label}
    told["layers"][0]["files"] = {
        key: value.replace(f"/{old}", f"/{label}") for key, value in told["layers"][0]["files"].items()
    }
    told["order"] = [[label if one == old else one for one in row] for row in told["order"]]
    timeline = otio.adapters.read_from_string(write("otio", told, name=name).decode(), "otio_json")
    assert label in {clip.name for clip in timeline.find_clips()}
    root = ET.fromstring(write("fcpxml", told, name=name))
    assert len(list(root.iter("asset"))) == 3
    script = write("nuke", told, name=name).decode()
    _, end = nuke_script.parse(script)
    reads, waiting = set(), [end]
    while waiting:
        node = waiting.pop()
        waiting += node.inputs
        if node.kind == "Read":
            reads.add(nuke_script.word(node.knobs["file"]))
    assert len(reads) == 3
    jsx = write("aftereffects", told, name=name).decode()
    assert jsx.isascii()
    start = jsx.index("var plan = ") + len("var plan = ")
    plan, _ = json.JSONDecoder().raw_decode(jsx[start:])
    assert plan["name"] == name and label in {layer["name"] for layer in plan["layers"]}


def test_a_varying_rate_is_told(tmp_path_factory):
    scene = make_scene(4)
    folder = delivered(tmp_path_factory, scene, ["png", "prores", "otio", "fcpxml", "nuke"], pts=[0, 40, 55, 130])
    assert "varies" in (folder / "timeline.fcpxml").read_text() and "varies" in (folder / "omnimatte.nk").read_text()
    timeline = otio.adapters.read_from_file(str(folder / "timeline.otio"))
    assert timeline.metadata["omnimatte"]["varying_rate"] and timeline.duration().value == 4
