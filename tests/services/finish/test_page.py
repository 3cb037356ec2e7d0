"""The result page: complete in itself, safe with any label, within its budget."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.finish import preview
from services.finish.page import embedded
from tests.services.finish.scene import make_job, make_scene

EVIL = "</script><img src=x onerror=alert(1)>"


def data_of(page: str) -> dict:
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert block is not None
    return json.loads(block[1])


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    scene = make_scene(6, swap=3)
    job = make_job(tmp_path_factory.mktemp("page"), scene, filename="<b>clip</b> & co.mkv")
    for entry in job.objects:
        if entry["label"] == "cup":
            entry["label"] = EVIL.replace("/", "∕")
            job.inputs[f"layer/{entry['label']}"] = job.inputs.pop("layer/cup")
    return job.finish().read("index.html").decode()


def test_the_page_loads_nothing(page):
    outside = re.sub(r'<script type="application/json".*?</script>', "", page, flags=re.S)
    assert not re.search(r"(src|href)\s*=", outside) and "url(" not in outside and "@import" not in outside
    assert "http://" not in page and "https://" not in page
    assert "default-src 'none'" in page


def test_labels_and_file_names_stay_text(page):
    assert "<img" not in page and "<b>clip" not in page
    assert "&lt;b&gt;clip&lt;/b&gt; &amp; co.mkv" in page
    assert data_of(page)["layers"][1]["label"] == EVIL.replace("/", "∕")


def test_every_frame_and_every_part_is_in_it(page):
    data = data_of(page)
    assert data["indices"] == list(range(6)) and len(data["order"]) == 6
    assert data["order"][0] == [0, 1] and data["order"][5] == [1, 0]
    for track in (data["pictures"]["input"], data["pictures"]["background"], *data["pictures"]["layers"]):
        assert len(track) == 6 and all(track)
    assert data["times"] == [round(t / 16, 6) for t in range(6)]


@given(
    st.recursive(st.text(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))
)
@settings(deadline=None, max_examples=60)
def test_embedded_json_never_ends_its_script_and_reads_back(value):
    text = embedded(value)
    assert not set(text) & set("<>&") and json.loads(text) == value


@pytest.mark.parametrize(
    ("frames", "width", "height", "layers"),
    [(1, 64, 48, 0), (90, 640, 384, 2), (500, 1920, 1080, 3), (5000, 1080, 1920, 4)],
)
def test_previews_are_planned_within_the_budget(frames, width, height, layers):
    plan = preview.plan(frames=frames, width=width, height=height, layers=layers)
    assert max(plan.width, plan.height) <= 480 and plan.width <= width
    assert len(plan.indices) <= preview.MAX_FRAMES and (frames > 600 or len(plan.indices) == frames)
    assert plan.width / plan.height == pytest.approx(width / height, rel=0.03)


def test_quality_gives_way_to_the_budget():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (60, 120, 160, 3), dtype=np.uint8)
    matte = np.concatenate([noise, noise[..., :1]], -1)
    plan = preview.Plan(indices=range(60), width=160, height=120)
    album = preview.Album(plan, ["a"], budget=2_200_000)
    for image, layer in zip(noise, matte, strict=True):
        album.add(image, image, (layer,))
    total = sum(len(text) * 3 // 4 for text in (*album.image, *album.background, *album.matte[0]))
    free = preview.Album(plan, ["a"], budget=10**9)
    free.add(noise[0], noise[0], (matte[0],))
    unlimited = 60 * sum(len(text) * 3 // 4 for text in (free.image[0], free.background[0], free.matte[0][0]))
    assert total < 0.7 * unlimited and total < 1.1 * 2_200_000
