"""Large frames: what of them is worked on, and that the rest stays as it is."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.finish.stage import Finish
from services.region.box import LARGE, Box, region, working_size
from services.region.stage import RegionStage
from services.stage import Request, execute
from tests.services.finish.scene import Job, make_job, make_scene

sides = st.integers(16, 4096)


@st.composite
def frames(draw) -> tuple[Box, int, int]:
    width, height = draw(sides), draw(sides)
    x0, y0 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    box = Box(x0, y0, draw(st.integers(x0 + 1, width)), draw(st.integers(y0 + 1, height)))
    return box, width, height


@given(frames(), st.integers(64, 2048))
def test_a_region_holds_its_objects_and_lies_in_the_frame(frame, long_side):
    objects, width, height = frame
    box = region(objects, width=width, height=height, long_side=long_side)
    assert 0 <= box.x0 <= objects.x0 and objects.x1 <= box.x1 <= width
    assert 0 <= box.y0 <= objects.y0 and objects.y1 <= box.y1 <= height
    if max(width, height) <= LARGE * long_side:
        assert box == Box(0, 0, width, height)
    tall, wide = working_size(box, long_side=long_side)
    assert max(tall, wide) <= long_side and tall <= box.height and wide <= box.width


@given(frames(), st.integers(64, 2048))
def test_sides_inside_the_frame_are_even(frame, long_side):
    objects, width, height = frame
    box = region(objects, width=width, height=height, long_side=long_side)
    assert box.x0 % 2 == box.y0 % 2 == 0
    assert box.x1 % 2 == 0 or box.x1 == width
    assert box.y1 % 2 == 0 or box.y1 == height


def test_nothing_to_go_by_is_the_whole_frame():
    assert region(None, width=4000, height=3000, long_side=640) == Box(0, 0, 4000, 3000)


# ---- the stage, and back


@pytest.fixture(scope="module")
def scene():
    """A large frame (for layers of 96 pixels) with two discs in its middle."""
    return make_scene(4, 144, 480, swap=2)


@pytest.fixture(scope="module")
def job(tmp_path_factory, scene) -> Job:
    return make_job(tmp_path_factory.mktemp("region"), scene)


def cut(job: Job, *, long_side: int):
    tracks = {name: address for name, address in job.inputs.items() if name.startswith("mask/")}
    params = {"objects": job.objects, "long_side": long_side}
    request = Request("region", params, {"video": job.inputs["video"], "preserve": tracks["mask/cup"], **tracks})
    return job.store.get(execute(RegionStage(), request, job.store).address)


def test_the_region_is_a_small_clip_with_its_masks(job, scene):
    made = cut(job, long_side=96)
    x0, y0, x1, y1 = made.meta["box"]
    assert 0 < x0 < x1 < 480 and made.meta["native"] == [144, 480] and made.meta["audio"] is None
    frames = np.asarray(made.array("frames")[:])
    assert frames.shape == (4, made.meta["height"], made.meta["width"], 3) and max(frames.shape[1:3]) == 96
    expected = cv2.resize(scene.clip[2][y0:y1, x0:x1], frames.shape[2:0:-1], interpolation=cv2.INTER_AREA)
    assert np.abs(frames[2].astype(int) - expected).max() <= 1
    masks = np.asarray(made.array("masks")[:])
    assert masks.shape == (*frames.shape[:3], 2) and set(np.unique(masks)) == {0, 255}
    for n, label in enumerate(scene.labels):
        share = scene.visible(label)[2].sum() / ((x1 - x0) * (y1 - y0))
        assert (masks[2, ..., n] > 0).mean() == pytest.approx(share, rel=0.15)
    kept = job.store.get(f"{made.address}/preserve").array("masks")
    assert kept.shape == (*frames.shape[:3], 1)


def test_a_frame_that_is_not_large_stays_whole_and_as_it_is(job, scene):
    made = cut(job, long_side=480)
    assert made.meta["box"] == [0, 0, 480, 144]
    assert np.array_equal(np.asarray(made.array("frames")[:]), scene.clip)


def test_finish_puts_the_region_back_and_touches_nothing_around_it(tmp_path, scene):
    """The layers of the region, known, at working resolution: what comes out has the clip's size."""
    job = make_job(tmp_path, scene)
    made = cut(job, long_side=120)
    x0, y0, x1, y1 = made.meta["box"]
    part = make_scene(4, 144, 480, swap=2)
    for values in (part.rgb, part.alpha, part.solid):
        for label in values:
            values[label] = values[label][:, y0:y1, x0:x1]
    part.background = part.background[:, y0:y1, x0:x1]
    part.__post_init__()
    small = make_job(tmp_path / "part", part, working=made.meta["width"] / (x1 - x0))
    inputs = {**job.inputs, "region": made.address}
    for name, address in small.inputs.items():
        if name.startswith("layer/") or name == "background":
            inputs[name] = moved(small, job, address)
    request = Request("finish", job.request(formats=["png"]).params, inputs, subject="finish")
    done = job.store.get(execute(Finish(), request, job.store).address)
    content = json.loads(done.read("layers.json"))
    assert (content["width"], content["height"]) == (480, 144) and content["recomposition"]["psnr_db"] > 36
    for t in range(4):
        data = np.frombuffer(done.read(f"background/{t:05d}.png"), np.uint8)
        plate = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), cv2.COLOR_BGR2RGB)
        outside = np.ones((144, 480), bool)
        outside[y0:y1, x0:x1] = False
        assert outside.sum() > 10_000 and np.array_equal(plate[outside], scene.clip[t][outside])
        layer = cv2.imdecode(np.frombuffer(done.read(f"layers/cup/{t:05d}.png"), np.uint8), cv2.IMREAD_UNCHANGED)
        assert layer.shape == (144, 480, 4) and not layer[outside].any()
        assert np.abs(layer[..., 3] / 255 - scene.alpha["cup"][t, ..., 0]).mean() < 0.01


def moved(source: Job, target: Job, address: str) -> str:
    """An artifact of another store, copied."""
    artifact = source.store.get(address)
    draft = target.store.draft(address, stage=artifact.manifest.stage)
    names = ("frames",) if artifact.manifest.stage == "ssr" else ("rgb", "alpha")
    for name in names:
        values = np.asarray(artifact.array(name)[:])
        draft.array(name, shape=values.shape, dtype=str(values.dtype))[:] = values
    return draft.commit(request={"stage": artifact.manifest.stage}, meta=artifact.meta).address
